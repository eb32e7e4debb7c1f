"""The choice of an engine for a plan, from the table of engines and without importing a library."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ome_writers.codecs import COMPRESSIONS
from ome_writers.dataset import LevelSpec
from ome_writers.errors import EngineMissingError, UnsupportedError
from ome_writers.routing import Plan
from ome_writers.settings import EngineRow, engines_of, find_engine
from ome_writers.storage.contract import Engine, Options
from ome_writers.storage.store import Store, local_path

_OPENERS = {
    "direct": "direct:open_engine",
    "tifffile": "tiff:TiffEngine",
    "scratch": "scratch:ScratchEngine",
}
"""Module of this package and function of the engines of the core, by name; see `EngineRow`."""


def unsupported_reasons(row: EngineRow, plan: Plan) -> list[str]:
    """Return why an engine cannot write `plan`, one phrase per reason; empty if it can."""
    arrays = [image.array for image in plan.images]
    compressions = {a.compression for a in arrays} - row.compressions
    reasons = [f"compression {name!r} is not supported" for name in sorted(compressions)]
    if not row.checksums and any(a.checksum for a in arrays):
        reasons.append("checksums of chunks are not supported")
    dtypes = {a.dtype for a in arrays} - (row.dtypes or {a.dtype for a in arrays})
    reasons += [_unsupported_dtype(plan, name) for name in sorted(dtypes)]
    reasons += _too_large_chunks(arrays)
    pages = sum(math.prod(i.array.index_shape) * len(i.levels) for i in plan.images)
    if row.max_planes is not None and pages > row.max_planes:
        reasons.append(f"at most {row.max_planes} planes are supported, got {pages}")
    if plan.settings.durability == "disk" and not row.survives_power_loss:
        reasons.append("it does not survive power loss (set durability='process')")
    if getattr(plan.settings.mirror, "evict", False) and not row.evicts:
        reasons.append(
            "its files may change until the stream is closed, so that Mirror(evict=True) cannot remove them"
        )
    if plan.settings.root_path:
        reasons += _unsupported_path(row, os.path.abspath(plan.settings.root_path))
    if not row.growth and any(a.growing is not None for a in arrays):
        reasons.append("unbounded axes are not supported")
    if not row.random_access and any(r.pairs_planes for i in plan.images for r in i.reductions):
        reasons.append("levels along z are not supported (set the pyramid's axes to ('y', 'x'))")
    if not row.ragged and plan.router.schedule is not None:
        reasons.append("ragged acquisitions are not supported")
    elif not row.random_access:
        reasons += _out_of_order(plan)
    return reasons


def _too_large_chunks(arrays: Sequence[LevelSpec]) -> list[str]:
    """Return the compressions that do not support chunks as large as those of their arrays."""
    chunks: dict[str, int] = {}
    for array in arrays:
        nbytes = math.prod(array.chunks) * array.numpy_dtype.itemsize
        chunks[array.compression] = max(nbytes, chunks.get(array.compression, 0))
    return [
        f"compression {name!r} supports chunks of at most {row.max_bytes} bytes, got {chunks[name]} (set a smaller "
        f"chunk_size, or another compression)"
        for name, row in COMPRESSIONS.items()
        if row.max_bytes is not None and chunks.get(name, 0) > row.max_bytes
    ]


def _unsupported_path(row: EngineRow, path: str) -> list[str]:
    try:
        if not row.any_path:
            path.encode()
    except UnicodeEncodeError:
        return ["its library requires a path in valid UTF-8, and root_path is not"]
    try:
        if row.ansi_paths and sys.platform == "win32":
            path.encode("mbcs")
    except UnicodeEncodeError:
        return [
            "its library supports only paths in the code page of Windows, which does not have all characters of "
            f"{path!r}"
        ]
    return []


def _out_of_order(plan: Plan) -> list[str]:
    """Return why a library that writes planes sequentially, transposing at most, cannot write these."""
    names = plan.images[0].dims
    for array in {image.addressing.planes: image.array for image in plan.images}.values():
        order, growing = array.order, array.growing
        if order is None:
            return ["planes must arrive in the order of nested loops over the stored axes"]
        slowest = growing if growing is not None else next(iter(order), 0)
        if slowest != 0:
            return [
                f"the axis that is acquired slowest must be stored first: {names[slowest]!r} cannot follow "
                f"{names[0]!r} (acquire {names[0]!r} slowest, or set storage_order='acquisition')"
            ]
    return []


def _unsupported_dtype(plan: Plan, dtype: str) -> str:
    format_ = plan.settings.format
    if format_.dtypes is None or dtype in format_.dtypes:
        return f"dtype {dtype!r} is not supported"
    alternatives = {
        "bool": "uint8",
        "int64": "int32 or float64",
        "uint64": "uint32 or float64",
        "float16": "float32",
    }
    use = alternatives.get(dtype, "another dtype")
    return f"{format_.title} has no pixel type for dtype {dtype!r} (use {use} instead)"


def choose(backend: str, plan: Plan) -> EngineRow:
    """Return the engine for `plan`: the one named `backend`, or with ``"auto"`` the first that supports it.

    Raises EngineMissingError if `backend` is unknown, or its library is not installed; UnsupportedError if the engine,
    or with ``"auto"`` every engine of the format, does not support `plan`. The message lists the reasons for each
    engine.
    """
    arrays = [image.array for image in plan.images]
    if plan.settings.direct_io and any(a.compression != "none" or a.checksum for a in arrays):
        raise UnsupportedError(
            "direct_io needs chunks of whole disk sectors, and those with a compression or a checksum have other "
            f"sizes: compression={arrays[0].compression!r}, checksum={arrays[0].checksum}. Set direct_io=False."
        )
    name = plan.settings.format.name
    rows = engines_of(name)
    if backend != "auto":
        named = find_engine(backend)
        if named is None:
            raise EngineMissingError(
                f"Unknown backend {backend!r}. The backends of {name} are: "
                f"{', '.join(row.name for row in rows)}."
            )
        rows = [named]
    able = [row for row in rows if not unsupported_reasons(row, plan)]
    for row in able:
        if row.missing_requirement() is None:
            return row
    if able:
        missing = "; ".join(str(row.missing_requirement()) for row in able)
        problem = f"No backend for {name} is ready" if backend == "auto" else f"backend={backend!r}"
        raise EngineMissingError(f"{problem}: {missing}.")
    reasons = "; ".join(f"{row.name}: {', '.join(unsupported_reasons(row, plan))}" for row in rows)
    others = [row.name for row in engines_of(name) if not unsupported_reasons(row, plan)]
    hint = f" {' or '.join(others)} can." if others else ""
    noun = f"Backend {backend!r} does" if backend != "auto" else f"The backends of {name} do"
    raise UnsupportedError(f"{noun} not support settings: {reasons}.{hint}")


def open_engine(
    row: EngineRow, root: Path | Store, targets: Sequence[LevelSpec], options: Options
) -> Engine:
    """Import the engine of `row` and create the arrays of `targets` below a directory, or in a store.

    When this returns, every array exists, can be opened by other readers, and reads as zeros.

    Raises
    ------
    UnsupportedError
        The engine, or an array with shards, needs files, and the store has none.
    """
    if row.needs_files and isinstance(root, Store):
        root = local_path(root, "", f"Backend {row.name!r}")
    module, opener = row.module, row.opener
    if not module:
        name, _, opener = _OPENERS[row.name].partition(":")
        module = f"{__package__}.{name}"
    engine: Engine = getattr(importlib.import_module(module), opener)(root, targets, options)
    return engine


def open_with_stages(
    opener: Callable[[Sequence[LevelSpec], Options], Engine], plan: Plan, options: Options
) -> Engine:
    """Return the engine that `opener` opens, with the stages of a plan: resolution levels and quantization."""
    if any(image.reductions for image in plan.images):
        from ome_writers.storage.pyramid import open_with_levels  # not loaded without levels

        engine = open_with_levels(opener, plan.images, options)
    else:
        engine = opener([image.array for image in plan.images], options)
    if (noise := plan.settings.quantize) is not None:
        from ome_writers.storage.quantization import open_quantized

        engine = open_quantized(engine, noise, plan.images[0].array.numpy_dtype)
    return engine
