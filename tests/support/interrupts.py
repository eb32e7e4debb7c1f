"""KeyboardInterrupt at a chosen line of Python, and acquisitions that continue after it."""

from __future__ import annotations

import _weakrefset
import gc
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import tensorstore
import tifffile

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    EngineMissingError,
    create_stream,
    read_frame_metadata,
)
from ome_writers.repair import repair
from ome_writers.views import open_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ome_writers import OMEStream

__all__ = [
    "FORMS",
    "Interrupted",
    "interrupt",
    "interrupt_append",
    "interrupt_close",
    "interrupt_last_append",
]

FRAMES = 12
TARGET = 5  # the frame that fills a shard, a chunk or a block


def _form(
    backend: str, side: int = 8, chunk: int = 1, shard: int | None = None, **more: Any
) -> Any:
    count = more.pop("count", FRAMES)
    time = Dimension(name="t", count=count, type="time", chunk_size=chunk, shard_size_chunks=shard)
    plane = [Dimension(name=name, count=side, type="space") for name in "yx"]
    return {"format": backend, "dimensions": [time, *plane], **more}


FORMS: dict[str, dict[str, Any]] = {
    "direct": _form("direct"),
    "direct-unbounded": _form("direct", count=None),
    "direct-shards": _form("direct", shard=6),
    "direct-shards-in-blocks": _form("direct", 600, shard=6, buffer_bytes=3 * 2**20),
    "direct-shards-zstd": _form("direct", shard=6, compression="zstd"),
    "direct-deep-chunks": _form("direct", chunk=3),
    "direct-deep-chunks-in-shards": _form("direct", chunk=3, shard=2, compression="blosc-lz4"),
    "direct-levels": _form("direct", 800, pyramid="mean"),
    "tifffile": _form("tifffile"),
    "tifffile-in-blocks": _form("tifffile", 700, buffer_bytes=4 * 2**20),
    "tifffile-unbounded": _form("tifffile", count=None),
    "tifffile-zstd": _form("tifffile", compression="zstd"),
    "tensorstore": _form("tensorstore", shard=6),
    "tensorstore-transactions": _form("tensorstore", 600, shard=6),
    "zarr-python": _form("zarr-python", shard=6),
    "zarrs-python": _form("zarrs-python", shard=6),
    "acquire-zarr": _form("acquire-zarr", shard=6),
    "scratch": _form("scratch"),
}
"""Settings without a path, by name: each engine, with each of its ways to write a frame."""


class Interrupted(NamedTuple):
    """Result of an interrupted acquisition; `hit` is False if fewer lines were executed."""

    hit: bool
    lost: list[int]
    path: Path


def interrupt(work: Callable[[], object], step: int, events: tuple[str, ...] = ("line",)) -> bool:
    """Run `work` with a KeyboardInterrupt at its `step`-th trace event in this thread; return False if it has fewer."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        # Python ignores an exception in the callback of a weak reference
        if frame.f_code.co_filename == _weakrefset.__file__:
            return None
        if event in events:
            steps += 1
            if steps == step:
                raise KeyboardInterrupt
        return trace

    gc.disable()  # Python ignores an exception in a callback of the garbage collector
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        gc.enable()
    return False


def interrupt_append(form: str, folder: Path, line: int, *, explicit: bool = False) -> Interrupted:
    """Interrupt the append of frame `TARGET` at a line, append the rest, close, and return the frames that are lost.

    `explicit` gives each frame its index, instead of having them counted.
    """
    stream, path = _begin(form, folder)
    hit, places = False, {}
    number = 0
    while stream.stats().frames_accepted < FRAMES:
        index = {"t": stream.stats().frames_accepted} if explicit else None
        step = _append(stream, number, index)
        if number == TARGET:
            hit = interrupt(step, line)
            if not hit:
                places[TARGET] = number
        else:
            step()
            places[stream.stats().frames_accepted - 1] = number
        number += 1
    stream.close()
    return Interrupted(hit, _lost(stream, path, places), path)


def interrupt_last_append(form: str, folder: Path, line: int) -> Interrupted:
    """Interrupt the append of frame `TARGET` at a line, close and repair, and return the frames that are wrong.

    The interrupted frame may be in the dataset or not.
    """
    stream, path = _begin(form, folder)
    for number in range(TARGET):
        _append(stream, number, None)()
    hit = interrupt(_append(stream, TARGET, None), line)
    stream.close()
    repair(path)
    stored = open_dataset(path)
    wrong = [n for n, plane in enumerate(stored) if not np.array_equal(plane, _frame(stream, n))]
    return Interrupted(hit, [*wrong, *range(len(stored), TARGET)], path)


def interrupt_close(form: str, folder: Path, line: int) -> Interrupted:
    """Interrupt `close` at a line, close again, and return the frames that are lost."""
    stream, path = _begin(form, folder)
    for number in range(FRAMES):
        _append(stream, number, None)()
    hit = interrupt(stream.close, line)
    stream.close()
    return Interrupted(hit, _lost(stream, path, {n: n for n in range(FRAMES)}), path)


def _begin(form: str, folder: Path) -> tuple[OMEStream, Path]:
    suffix = {"tifffile": ".ome.tiff", "scratch": ""}.get(form.split("-")[0], ".ome.zarr")
    # not the same path again: an interrupt can leave a file open, which Windows does not remove
    path = Path(tempfile.mkdtemp(dir=folder)) / f"x{suffix}"
    settings = AcquisitionSettings(
        root_path=str(path), dtype="uint16", flush_interval=60, **FORMS[form]
    )
    try:
        return create_stream(settings), path
    except EngineMissingError as error:
        pytest.skip(f"not on this Python: {error}")


def _frame(stream: OMEStream, number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    shape = stream.plan.images[0].frame_shape
    return np.full(shape, 1000 + number, np.uint16)


def _append(stream: OMEStream, number: int, index: dict[str, int] | None) -> Callable[[], None]:
    frame = _frame(stream, number)
    return lambda: stream.append(frame, index=index, frame_metadata={"number": number})


def _lost(stream: OMEStream, path: Path, places: dict[int, int]) -> list[int]:
    """Return the frames that are missing in the view, for another reader, or in the frame metadata."""
    view = stream.view()
    if path.suffix == ".zarr":
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}}
        stored = tensorstore.open(spec, read=True).result().read().result()
    elif path.suffix == ".tiff":
        stored = tifffile.imread(path)
    else:
        stored = np.asarray(view)
    # OME-TIFF counts t, c and z, of which c and z are 0
    numbers = {max(e["storage_index"]): e["number"] for e in read_frame_metadata(path)}
    return [
        number
        for place, number in places.items()
        if place >= len(stored)
        or not np.array_equal(stored[place], _frame(stream, number))
        or not np.array_equal(view[place], _frame(stream, number))
        or numbers.get(place) != number
    ]
