"""The table of engines: one row each, capabilities as data.

Unsupported settings are explained from these rows alone, without importing an engine's library.
"""

# Longer than 300 lines: one row per engine, and the sentences in which a row explains what it does not support.

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from ome_writers.errors import EngineMissingError, UnsupportedError
from ome_writers.routing import arrival_order
from ome_writers.settings import COMPRESSIONS, PIXEL_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.routing import ArrayPlan, Plan
    from ome_writers.storage.contract import ArrayTarget, Engine, Options

__all__ = ["ENGINES", "EngineRow", "choose", "open_engine"]

_ACQUIRE_DTYPES = frozenset(
    {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
    | {"float32", "float64"}
)
_MAX_BLOSC_BYTES = 2**31 - 1 - 16  # the header stores sizes as int32, including itself
_MAX_TIFF_PAGES = 10**8  # each IFD takes about 280 bytes, before the first frame
_ZARR_CODECS = frozenset(COMPRESSIONS["ome-zarr"][1])


@dataclass(frozen=True)
class EngineRow:
    """One engine: its module, its requirements and its capabilities.

    Attributes
    ----------
    name, format
        The name that users type, and the format that it writes.
    module, opener
        The module, imported on first use, and its function ``(root, targets, options) -> Engine``.
    requires
        Packages that must be importable.
    oldest
        Distribution and oldest supported version, if the engine needs a recent one.
    extra
        The extra of this distribution that installs the requirements.
    compressions, dtypes
        Names of the supported compressions and dtypes; `dtypes` None: all.
    python
        Oldest Python supported by its library.
    any_path
        Whether its library supports paths that are not valid UTF-8.
    random_access
        Whether planes may be written in any order, and twice.
    growth
        Whether arrays may have an unbounded axis.
    sharding
        Whether it writes chunks and shards. If not, `chunk_size` and `shard_size_chunks` have no effect.
    ragged
        Whether arrays may have missing planes.
    live
        Whether another process can read correct pixels while it writes.
    survives_kill, survives_power_loss
        Whether flushed data survives ``kill -9``, and power loss with ``durability="disk"``.
    """

    name: str
    format: str
    module: str
    requires: tuple[str, ...]
    extra: str | None
    compressions: frozenset[str]
    opener: str = "open_engine"
    dtypes: frozenset[str] | None = None
    oldest: tuple[str, tuple[int, int]] | None = None
    python: tuple[int, int] = (3, 10)
    any_path: bool = True
    random_access: bool = True
    growth: bool = True
    sharding: bool = True
    ragged: bool = True
    live: bool = True
    survives_kill: bool = True
    survives_power_loss: bool = True

    def missing_requirement(self) -> str | None:
        """Return what to install before this engine can be used; None if nothing is missing."""
        if sys.version_info[:2] < self.python:
            wanted = ".".join(map(str, self.python))
            return f"{self.name} needs Python {wanted} or later"
        command = f"pip install 'ome-writers[{self.extra}]'"
        if not all(importlib.util.find_spec(name) is not None for name in self.requires):
            return f"{self.name} is not installed: {command}"
        if self.oldest is not None:
            library, oldest = self.oldest
            wanted, found = ".".join(map(str, oldest)), version(library)
            if tuple(map(int, re.findall(r"\d+", found)[:2])) < oldest:
                return f"{self.name} needs {library} {wanted} or later, {found} is installed: {command}"
        return None

    def unsupported_reasons(self, plan: Plan) -> list[str]:
        """Return why this engine cannot write `plan`, one phrase per reason; empty if it can."""
        arrays = [image.array for image in plan.images]
        compressions = {a.compression for a in arrays} - self.compressions
        reasons = [f"compression {name!r} is not supported" for name in sorted(compressions)]
        dtypes = {a.dtype.name for a in arrays} - (self.dtypes or {a.dtype.name for a in arrays})
        reasons += [_unsupported_dtype(self.format, name) for name in sorted(dtypes)]
        reasons += _too_large_for_blosc(arrays)
        pages = sum(math.prod(a.index_shape) for a in arrays)
        if self.format == "ome-tiff" and pages > _MAX_TIFF_PAGES:
            reasons.append(f"at most {_MAX_TIFF_PAGES} planes are supported, got {pages}")
        if plan.settings.durability == "disk" and not self.survives_power_loss:
            reasons.append("it does not survive power loss (set durability='process')")
        if not self.any_path and plan.settings.root_path:
            try:
                os.path.abspath(plan.settings.root_path).encode()
            except UnicodeEncodeError:
                reasons.append("its library requires a path in valid UTF-8, and root_path is not")
        if not self.growth and any(a.growing is not None for a in arrays):
            reasons.append("unbounded axes are not supported")
        if not self.ragged and plan.router.schedule is not None:
            reasons.append("ragged acquisitions are not supported")
        elif not self.random_access:
            reasons += _out_of_order(plan)
        return reasons


def _too_large_for_blosc(arrays: Sequence[ArrayPlan]) -> list[str]:
    blosc = [a for a in arrays if a.compression.startswith("blosc")]
    nbytes = max((math.prod(a.chunks) * a.dtype.itemsize for a in blosc), default=0)
    if nbytes <= _MAX_BLOSC_BYTES:
        return []
    return [
        f"Blosc compresses chunks of at most {_MAX_BLOSC_BYTES} bytes, got {nbytes} (set a smaller chunk_size, or "
        f"another compression)"
    ]


def _out_of_order(plan: Plan) -> list[str]:
    """Return why a library that writes planes sequentially, transposing at most, cannot write these."""
    names = [d.name for d in plan.images[0].array.dimensions]
    for image in {i.planes: i for i in plan.images}.values():
        order = arrival_order(plan, image)
        if order is None:
            return ["planes must arrive in the order of nested loops over the stored axes"]
        growing = image.array.growing
        slowest = growing if growing is not None else next(iter(order), 0)
        if slowest != 0:
            return [
                f"the axis that is acquired slowest must be stored first: {names[slowest]!r} cannot follow "
                f"{names[0]!r} (acquire {names[0]!r} slowest, or set storage_order='acquisition')"
            ]
    return []


def _unsupported_dtype(format_name: str, dtype: str) -> str:
    if format_name != "ome-tiff":
        return f"dtype {dtype!r} is not supported"
    alternatives = {
        "bool": "uint8",
        "int64": "int32 or float64",
        "uint64": "uint32 or float64",
        "float16": "float32",
    }
    return f"OME-TIFF has no pixel type for dtype {dtype!r} (use {alternatives[dtype]} instead)"


ENGINES: dict[str, EngineRow] = {
    row.name: row
    for row in (
        EngineRow(
            name="direct",
            format="ome-zarr",
            module="ome_writers.storage.direct",
            requires=(),
            extra=None,
            compressions=_ZARR_CODECS,
        ),
        EngineRow(
            name="tensorstore",
            format="ome-zarr",
            module="ome_writers.storage.libraries.tensorstore",
            requires=("tensorstore",),
            extra="tensorstore",
            any_path=False,
            compressions=_ZARR_CODECS,
        ),
        EngineRow(
            name="acquire-zarr",
            format="ome-zarr",
            module="ome_writers.storage.libraries.acquire_zarr",
            requires=("acquire_zarr",),
            extra="acquire-zarr",
            any_path=False,
            compressions=frozenset(COMPRESSIONS["acquire-zarr"][1]),
            dtypes=_ACQUIRE_DTYPES,
            oldest=("acquire-zarr", (0, 10)),
            random_access=False,
            ragged=False,
            live=False,
            survives_kill=False,
            survives_power_loss=False,
        ),
        EngineRow(
            name="zarrs-python",
            format="ome-zarr",
            module="ome_writers.storage.libraries.zarr_python",
            opener="open_zarrs_engine",
            requires=("zarr", "zarrs"),
            extra="zarrs-python",
            any_path=False,
            compressions=_ZARR_CODECS,
            oldest=("zarr", (3, 1)),
            python=(3, 11),
        ),
        EngineRow(
            name="zarr-python",
            format="ome-zarr",
            module="ome_writers.storage.libraries.zarr_python",
            requires=("zarr",),
            extra="zarr-python",
            compressions=_ZARR_CODECS,
            oldest=("zarr", (3, 1)),
            python=(3, 11),
        ),
        EngineRow(
            name="tifffile",
            format="ome-tiff",
            module="ome_writers.storage.tiff",
            requires=("tifffile", "ome_types"),
            extra="tifffile",
            compressions=frozenset(COMPRESSIONS["ome-tiff"][1]),
            sharding=False,
            dtypes=frozenset(PIXEL_TYPES),
        ),
        EngineRow(
            name="scratch",
            format="scratch",
            module="ome_writers.storage.scratch",
            requires=(),
            extra=None,
            compressions=frozenset({"none"}),
            sharding=False,
            live=False,
            survives_kill=False,
            survives_power_loss=False,
        ),
    )
}


def choose(backend: str, plan: Plan) -> EngineRow:
    """Return the engine for `plan`: the one named `backend`, or with ``"auto"`` the first that supports it.

    Raises
    ------
    EngineMissingError
        If `backend` is unknown, or its library is not installed.
    UnsupportedError
        If the engine, or with ``"auto"`` every engine of the format, does not support `plan`. The message lists the
        reasons for each engine.
    """
    name = plan.settings.format.name
    rows = [row for row in ENGINES.values() if row.format == name]
    if backend != "auto":
        if backend not in ENGINES:
            raise EngineMissingError(
                f"Unknown backend {backend!r}. The backends of {name} are: "
                f"{', '.join(row.name for row in rows)}."
            )
        rows = [ENGINES[backend]]
    able = [row for row in rows if not row.unsupported_reasons(plan)]
    for row in able:
        if row.missing_requirement() is None:
            return row
    if able:
        missing = "; ".join(str(row.missing_requirement()) for row in able)
        raise EngineMissingError(f"No backend for {name} is ready: {missing}.")
    reasons = "; ".join(f"{row.name}: {', '.join(row.unsupported_reasons(plan))}" for row in rows)
    others = [
        row.name
        for row in ENGINES.values()
        if row.format == name and not row.unsupported_reasons(plan)
    ]
    hint = f" {' or '.join(others)} can." if others else ""
    noun = f"Backend {backend!r} does" if backend != "auto" else f"The backends of {name} do"
    raise UnsupportedError(f"{noun} not support settings: {reasons}.{hint}")


def open_engine(
    row: EngineRow, root: Path, targets: Sequence[ArrayTarget], options: Options
) -> Engine:
    """Import the engine of `row` and create the arrays of `targets` below `root`.

    When this returns, every array exists on disk, can be opened by other readers, and reads as zeros.
    """
    module = importlib.import_module(row.module)
    engine: Engine = getattr(module, row.opener)(root, targets, options)
    return engine
