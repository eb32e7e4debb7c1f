"""The engines there are: one row each, abilities as data.

A refusal is explained from these rows alone; no engine's library is imported to say what it cannot do.
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

ACQUIRE_DTYPES = frozenset(
    {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
    | {"float32", "float64"}
)
BLOSC_BYTES = 2**31 - 1 - 16  # its header tells sizes with 32 bits, signed, and counts itself
MOST_PAGES = 10**8  # of a TIFF: each takes some 280 bytes of its file before the first frame comes
ZARR_CODECS = frozenset(COMPRESSIONS["ome-zarr"][1])


@dataclass(frozen=True)
class EngineRow:
    """One engine: where it lives, what it needs, what it can do.

    Attributes
    ----------
    name, format
        The name users type, and the format it writes.
    module, opener
        The module, imported when first used, and its function ``(root, targets, options) -> Engine``.
    requires
        Names of the packages that must be importable.
    oldest
        The distribution and the oldest version of it that will do, where the engine needs a recent one.
    extra
        The extra of this distribution that installs them.
    compressions
        The names of settings' compressions that it can write.
    dtypes
        The names of the dtypes that it can write; None for all.
    python
        The oldest Python that its library runs on.
    any_path
        Its library takes paths that are not valid UTF-8.
    random_access
        It takes planes in any order, and a plane a second time.
    growth
        It takes arrays with an axis that has no planned end.
    sharding
        It writes chunks and shards. Without it, `chunk_size` and `shard_size_chunks` have no effect.
    ragged
        It takes arrays that are not filled from start to end.
    live
        A second process reads right pixels while it writes.
    survives_kill, survives_power_loss
        What a flush brought to disk is still there after ``kill -9``; after power loss with ``durability="disk"``.
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
        """Say what must be installed before this engine can be used; None when nothing."""
        if sys.version_info[:2] < self.python:
            wanted = ".".join(map(str, self.python))
            return f"{self.name} needs Python {wanted} or later"
        command = f"pip install 'ome-writers[{self.extra}]'"
        if not all(importlib.util.find_spec(name) is not None for name in self.requires):
            return f"{self.name} is not installed: {command}"
        if self.oldest is not None:
            library, least = self.oldest
            wanted, found = ".".join(map(str, least)), version(library)
            if tuple(map(int, re.findall(r"\d+", found)[:2])) < least:
                return f"{self.name} needs {library} {wanted} or later, and {found} is installed: {command}"
        return None

    def unsupported_reasons(self, plan: Plan) -> list[str]:
        """Say, in a few words each, what `plan` asks for that this engine lacks."""
        arrays = [image.array for image in plan.images]
        compressions = {a.compression for a in arrays} - self.compressions
        reasons = [f"it has no compression {name!r}" for name in sorted(compressions)]
        dtypes = {a.dtype.name for a in arrays} - (self.dtypes or {a.dtype.name for a in arrays})
        reasons += [_no_dtype(self.format, name) for name in sorted(dtypes)]
        reasons += _too_much_for_blosc(arrays)
        pages = sum(math.prod(a.index_shape) for a in arrays)
        if self.format == "ome-tiff" and pages > MOST_PAGES:
            reasons.append(f"it writes {MOST_PAGES} planes at most, and these are {pages}")
        if plan.settings.durability == "disk" and not self.survives_power_loss:
            reasons.append("it does not survive power loss (set durability='process')")
        if not self.any_path and plan.settings.root_path:
            try:
                os.path.abspath(plan.settings.root_path).encode()
            except UnicodeEncodeError:
                reasons.append(
                    "its library takes valid UTF-8 for a path only, and root_path is not"
                )
        if not self.growth and any(a.growing is not None for a in arrays):
            reasons.append("it takes no unbounded axis")
        if not self.ragged and plan.router.schedule is not None:
            reasons.append("it takes no ragged acquisition")
        elif not self.random_access:
            reasons += _out_of_order(plan)
        return reasons


def _too_much_for_blosc(arrays: Sequence[ArrayPlan]) -> list[str]:
    """Say when a chunk has more bytes than Blosc can compress."""
    blosc = [a for a in arrays if a.compression.startswith("blosc")]
    most = max((math.prod(a.chunks) * a.dtype.itemsize for a in blosc), default=0)
    if most <= BLOSC_BYTES:
        return []
    return [
        f"Blosc compresses chunks of at most {BLOSC_BYTES} bytes, and this one has {most} (set a smaller "
        f"chunk_size, or another compression)"
    ]


def _out_of_order(plan: Plan) -> list[str]:
    """Say why a library that takes planes one after the other, transposing at most, cannot take these."""
    names = [d.name for d in plan.images[0].array.dimensions]
    for image in {i.planes: i for i in plan.images}.values():
        order = arrival_order(plan, image)
        if order is None:
            return ["it takes planes in the order of nested loops over the stored axes only"]
        growing = image.array.growing
        slowest = growing if growing is not None else next(iter(order), 0)
        if slowest != 0:
            return [
                f"it stores the axis that is acquired slowest first: {names[slowest]!r} cannot come "
                f"behind {names[0]!r} (acquire {names[0]!r} slowest, or set storage_order='acquisition')"
            ]
    return []


def _no_dtype(format_name: str, dtype: str) -> str:
    """Say that an engine writes no such dtype; of a format that has no name for it, what to use instead."""
    instead = {
        "bool": "uint8",
        "int64": "int32 or float64",
        "uint64": "uint32 or float64",
        "float16": "float32",
    }
    if format_name != "ome-tiff":
        return f"it writes no dtype {dtype!r}"
    return f"OME-TIFF has no pixel type for dtype {dtype!r} (use {instead[dtype]} instead)"


ENGINES: dict[str, EngineRow] = {
    row.name: row
    for row in (
        EngineRow(
            name="direct",
            format="ome-zarr",
            module="ome_writers.storage.direct",
            requires=(),
            extra=None,
            compressions=ZARR_CODECS,
        ),
        EngineRow(
            name="tensorstore",
            format="ome-zarr",
            module="ome_writers.storage.libraries.tensorstore",
            requires=("tensorstore",),
            extra="tensorstore",
            any_path=False,
            compressions=ZARR_CODECS,
        ),
        EngineRow(
            name="acquire-zarr",
            format="ome-zarr",
            module="ome_writers.storage.libraries.acquire_zarr",
            requires=("acquire_zarr",),
            extra="acquire-zarr",
            any_path=False,
            compressions=frozenset(COMPRESSIONS["acquire-zarr"][1]),
            dtypes=ACQUIRE_DTYPES,
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
            compressions=ZARR_CODECS,
            oldest=("zarr", (3, 1)),
            python=(3, 11),
        ),
        EngineRow(
            name="zarr-python",
            format="ome-zarr",
            module="ome_writers.storage.libraries.zarr_python",
            requires=("zarr",),
            extra="zarr-python",
            compressions=ZARR_CODECS,
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
    """Return the engine for `plan`: the one that is named, or the first of the format that can.

    Raises
    ------
    EngineMissingError
        If `backend` is unknown, or its library is not installed.
    UnsupportedError
        If the engine, or with ``"auto"`` every engine of the format, lacks what `plan` asks for; the
        message lists each with its reason.
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
        raise EngineMissingError(
            f"No backend for {name} is ready: "
            + "; ".join(str(row.missing_requirement()) for row in able)
            + "."
        )
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
    """Import the engine of `row` and have it create the arrays of `targets` below `root`.

    When it returns every array exists on disk, opens in other readers and reads as zeros.
    """
    module = importlib.import_module(row.module)
    engine: Engine = getattr(module, row.opener)(root, targets, options)
    return engine
