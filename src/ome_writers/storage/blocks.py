"""Frames become whole chunks and whole shards before a library gets them.

A library that is given a shard frame by frame reads, changes and rewrites the shard each time. Here a *region*, the
part of an array that one file holds, is put together in memory and handed over once. A region that is not whole is
written as it is at each flush, and when memory is short: then the one that was begun first goes, to be read
back when another of its frames comes.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ome_writers.storage.background import Background, machine_width
from ome_writers.storage.contract import EngineStats, Failure
from ome_writers.storage.files import replace, sync_tree
from ome_writers.storage.zarr_array import array_document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan
    from ome_writers.storage.contract import ArrayTarget, Options

__all__ = ["ENDLESS", "BlockEngine", "LibraryArray"]

ENDLESS = 2**40
"""Extent that a library is told for an axis without end; what the document says is ours."""

Origin = tuple[int, ...]


class LibraryArray(Protocol):
    """An array as a library sees it. Both methods are called from worker threads."""

    def store(self, where: tuple[slice, ...], data: NDArray[np.generic]) -> None:
        """Write `data` and return when it is in the store."""
        ...

    def load(self, where: tuple[slice, ...]) -> NDArray[np.generic]:
        """Read back what was stored; zeros where nothing was."""
        ...


class _Region:
    """The planes that one chunk or shard file (or row of files across y and x) holds."""

    def __init__(self, array: int, origin: Origin, data: NDArray[np.generic]) -> None:
        self.array = array
        self.origin = origin
        self.data = data
        self.filled: set[Origin] = set()
        self.frames: list[int] = []
        self.stored = False
        self.storing = threading.Lock()


class BlockEngine:
    """An engine on a library's arrays; see `storage.contract.Engine`.

    Parameters
    ----------
    root, targets, options
        As for every engine.
    open_array
        Opens the array whose document lies in a folder, for the library. It is told the document with which to
        work: its growing axis has the extent `ENDLESS`, so that nothing is ever resized.
    """

    def __init__(
        self,
        root: Path,
        targets: Sequence[ArrayTarget],
        options: Options,
        open_array: Callable[[Path, dict[str, object]], LibraryArray],
    ) -> None:
        self._root = root
        self._targets = tuple(targets)
        self._options = options
        self._shapes: list[tuple[int, ...] | None] = [None] * len(targets)
        self._open: OrderedDict[tuple[int, Origin], _Region] = OrderedDict()
        self._live: dict[int, _Region] = {}
        self._aside: dict[tuple[int, Origin], set[Origin]] = {}
        self._lock = threading.Lock()
        self._room = threading.Condition()
        self._used = 0
        self._flushing = threading.Lock()
        self._frames_written = 0
        self._bytes_written = 0
        self._closed = False
        self._show([t.plan.shape for t in targets])
        self._arrays = [
            open_array(root / t.key, array_document(t.plan, _endless(t.plan))) for t in targets
        ]
        self._background = Background(machine_width(), name="ome-writers-blocks")

    @property
    def failures(self) -> Sequence[Failure]:
        """Every error of a worker so far."""
        return self._background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Copy one plane into its region; see `storage.contract.Engine.write`."""
        plan = self._targets[array].plan
        extent = _region_shape(plan)
        origin = tuple(i - i % n for i, n in zip(index, extent, strict=True))
        within = tuple(i - o for i, o in zip(index, origin, strict=True))
        key = (array, origin)
        if key not in self._open:
            region = self._begin(key, plan, extent)
            with self._lock:
                self._open[key] = self._live[id(region)] = region
        with self._lock:
            region = self._open[key]
            region.data[within] = frame
            region.filled.add(within)
            region.frames.append(number)
            if len(region.filled) == _planes(region.data):
                self._hand_over(key, last=True)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write all regions as they are; see `storage.contract.Engine.flush`."""
        with self._flushing:
            with self._lock:
                for key, region in self._open.items():
                    if region.frames:
                        self._hand_over(key, last=False)
            self._background.barrier()
            self._publish(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from the library."""
        plan = self._targets[array].plan
        extent = _region_shape(plan)
        origin = tuple(i - i % n for i, n in zip(index, extent, strict=True))
        within = tuple(i - o for i, o in zip(index, origin, strict=True))
        for region in reversed(list(self._live.values())):
            if (region.array, region.origin) == (array, origin) and within in region.filled:
                plane: NDArray[np.generic] = region.data[within].copy()
                return plane
        bounds = _endless(plan)
        if any(i >= n for i, n in zip(index, bounds, strict=False)):
            return np.zeros(plan.frame_shape, plan.dtype)
        where = (*(slice(i, i + 1) for i in index), slice(0, bounds[-2]), slice(0, bounds[-1]))
        return self._arrays[array].load(where).reshape(plan.frame_shape)

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root."""
        replace(self._root / key, content, durable=self._options.durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write what is left; see `storage.contract.Engine.close`."""
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            with self._lock:
                for key in list(self._open):
                    self._hand_over(key, last=True)
            self._background.drain()
            self._publish(shapes)
            self._background.close()

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        return EngineStats(self._frames_written, self._bytes_written, self._background.depth)

    def _begin(self, key: tuple[int, Origin], plan: ArrayPlan, extent: Origin) -> _Region:
        """Return an empty region, or the one that was put aside, waiting for memory if need be."""
        array, origin = key
        bounds = _endless(plan)
        shape = [min(n, b - o) for n, b, o in zip(extent, bounds, origin, strict=False)]
        nbytes = int(np.prod(shape, dtype=np.int64)) * plan.frame_bytes
        self._reserve(nbytes)
        region = _Region(array, origin, np.zeros((*shape, *plan.frame_shape), plan.dtype))
        filled = self._aside.pop(key, None)
        if filled is not None:
            self._background.barrier()  # it may still be on its way to disk
            region.filled = filled
            region.data[...] = self._arrays[array].load(_where(region))
        elif any((r.array, r.origin) == key for r in list(self._live.values())):
            self._background.barrier()
            region.data[...] = self._arrays[array].load(_where(region))
        elif plan.growing is None or origin[plan.growing] in self._begun(array):
            region.data[...] = self._arrays[array].load(_where(region))
        return region

    def _begun(self, array: int) -> set[int]:
        """Return origins along the growing axis that may be on disk already."""
        shape = self._shapes[array]
        growing = self._targets[array].plan.growing
        assert shape is not None
        assert growing is not None
        step = _region_shape(self._targets[array].plan)[growing]
        return set(range(0, shape[growing], step))

    def _reserve(self, nbytes: int) -> None:
        """Count memory; wait, or put the oldest region on its way, while there is none."""
        while True:
            with self._room:
                if not self._used or self._used + nbytes <= self._options.buffer_bytes:
                    self._used += nbytes
                    return
                if self._background.depth:
                    self._room.wait(0.02)
                    continue
            with self._lock:
                if self._open:
                    key, region = next(iter(self._open.items()))
                    self._aside[key] = set(region.filled)
                    self._hand_over(key, last=True)

    def _hand_over(self, key: tuple[int, Origin], *, last: bool) -> None:
        region = self._open.pop(key) if last else self._open[key]
        count = len(region.frames)
        frames = region.frames if last else tuple(region.frames)
        self._background.submit(lambda: self._store(region, count, last), frames, strand=key)

    def _store(self, region: _Region, count: int, last: bool) -> None:
        """Give a region to the library (in the background)."""
        nbytes = region.data.nbytes
        try:
            with region.storing:
                if region.stored:
                    return  # a flush that came too late
                region.stored = last
                if region.frames:
                    data = region.data if last else region.data.copy()
                    self._arrays[region.array].store(_where(region), data)
                    done = len(region.frames) if last else count
                    del region.frames[:done]
                    self._frames_written += done
                    self._bytes_written += data.nbytes
        finally:
            if last:
                self._live.pop(id(region), None)
                with self._room:
                    self._used -= nbytes
                    self._room.notify_all()

    def _publish(self, shapes: Sequence[tuple[int, ...]]) -> None:
        try:
            self._show(shapes)
            if self._options.durable:
                for target in self._targets:
                    sync_tree(self._root / target.key)
        except OSError as error:
            self._background.failures.append(Failure(error))

    def _show(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write the document of each array whose shape has changed."""
        for i, (target, shape) in enumerate(zip(self._targets, shapes, strict=True)):
            if self._shapes[i] != shape:
                self.put(
                    f"{target.key}/zarr.json",
                    json.dumps(array_document(target.plan, shape)).encode(),
                )
                self._shapes[i] = shape


def _region_shape(plan: ArrayPlan) -> Origin:
    """Return how many planes a file holds along each index axis."""
    return (plan.shards or plan.chunks)[:-2]


def _endless(plan: ArrayPlan) -> tuple[int, ...]:
    return tuple(ENDLESS if i == plan.growing else n for i, n in enumerate(plan.shape))


def _where(region: _Region) -> tuple[slice, ...]:
    origin = (*region.origin, 0, 0)
    return tuple(slice(o, o + n) for o, n in zip(origin, region.data.shape, strict=True))


def _planes(data: NDArray[np.generic]) -> int:
    return int(np.prod(data.shape[:-2], dtype=np.int64))
