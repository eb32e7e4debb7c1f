"""Frames become whole chunks and whole shards before a library gets them.

A library that is given a shard frame by frame reads, changes and rewrites the shard each time. Here a *region* (see
`storage.regions`) is put together in memory and handed over once. One that is not whole is written as it is at each
flush that finds something new in it, and when memory is short: then the region that was touched longest ago goes, to
be read back when another of its frames comes.

A large plane with files of its own needs no region: where the library can, it takes it straight from the caller.
"""

# Longer than 300 lines: the contract's calls with their documentation; regions and files lie in other modules.
from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.storage.background import Background, machine_width
from ome_writers.storage.contract import EngineStats, Failure
from ome_writers.storage.files import replace
from ome_writers.storage.regions import STORED, TAKEN, Region, RegionGrid
from ome_writers.storage.room import Room
from ome_writers.storage.stored import Stored
from ome_writers.storage.zarr.document import array_document
from ome_writers.storage.zarr.shown import ShownArrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.regions import Key, LibraryArray, Where

__all__ = ["BlockEngine"]

_GATES = 64  # files that can be read and replaced at the same time


class BlockEngine:
    """An engine on a library's arrays; see `storage.contract.Engine`.

    Parameters
    ----------
    root, targets, options
        As for every engine.
    open_array
        Opens the array whose document lies in a folder, for the library. It is told the document with which to
        work: its growing axis has the extent `regions.ENDLESS`, so that nothing is ever resized; and the regions in
        which it will be written.

    Notes
    -----
    `Options.buffer_bytes` bounds the regions in memory. What a library itself takes to put a file together, about the
    size of the file, comes on top.
    """

    def __init__(
        self,
        root: Path,
        targets: Sequence[ArrayTarget],
        options: Options,
        open_array: Callable[[Path, dict[str, Any], RegionGrid], LibraryArray],
    ) -> None:
        self._root = root
        self._targets = tuple(targets)
        durable = options.durable
        self._durable = durable
        self._shown = ShownArrays(root, [(t.key, t.plan) for t in targets], durable=durable)
        self._grids = [RegionGrid(t.plan, options.buffer_bytes) for t in targets]
        self._open: dict[Key, Region] = {}  # touched longest ago first
        self._live: dict[Key, Region] = {}  # open, or on their way to disk
        self._aside: dict[Key, bytearray] = {}  # slots of regions that went before they were whole
        self._passing: set[Key] = set()  # planes that the library has got straight from the caller
        self._stored = Stored(root, [t.key for t in targets], self._grids, durable=durable)
        self._lock = threading.Lock()
        self._gates = [threading.Lock() for _ in range(_GATES)]
        self._flushing = threading.Lock()
        self._closed = False
        self._shown.show([t.plan.shape for t in targets])
        self._arrays = [
            open_array(root / target.key, array_document(target.plan, grid.shape), grid)
            for target, grid in zip(targets, self._grids, strict=True)
        ]
        self._room = Room(options.buffer_bytes)
        first = self._grids[0]
        if not first.single:
            # one that is filled, and those that are stored meanwhile
            self._room.prepare(first.most_bytes, min(first.count, machine_width() + 1))
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
        """Take one plane; see `storage.contract.Engine.write`."""
        grid = self._grids[array]
        origin, slot = grid.split(index)
        key = (array, origin)
        region = self._open.get(key)
        if region is None:
            try:
                if grid.single and self._pass(key, number, frame):
                    return
                region = self._begin(key)
            # refused by the library; or it was put aside, and cannot be read back
            except Exception as error:
                self._background.failures.append(Failure(error, (number,)))
                return
        if region.slots[slot]:
            with region.storing:  # a flush may be writing what the place holds now
                self._fill(key, region, slot, number, frame)
        else:
            self._fill(key, region, slot, number, frame)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write all regions that have something new; see `storage.contract.Engine.flush`."""
        with self._flushing:
            with self._lock:
                for key, region in self._open.items():
                    if region.frames:
                        self._submit_part(key, region)
            self._background.barrier()
            self._publish(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from the library."""
        grid = self._grids[array]
        plan = grid.plan
        if not all(0 <= i < n for i, n in zip(index, grid.bounds, strict=True)):
            return np.zeros(plan.frame_shape, plan.dtype)
        origin, slot = grid.split(index)
        key = (array, origin)
        region = self._live.get(key)
        if region is not None and region.slots[slot]:
            plane: NDArray[np.generic] = region.data[slot].copy()
            if self._live.get(key) is region:  # else its memory may be another region's by now
                return plane
        self._room.wait_while(lambda: key in self._passing)
        if key not in self._stored:
            return np.zeros(plan.frame_shape, plan.dtype)
        with self._gate(key):
            return self._arrays[array].load(grid.where(index, index)).reshape(plan.frame_shape)

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root."""
        replace(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write what is left; see `storage.contract.Engine.close`."""
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            with self._lock:
                for key in list(self._open):
                    self._hand_over(key)
            self._background.drain()
            for array in self._arrays:
                array.close()
            self._publish(shapes)
            self._background.close()
            self._room.clear()

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        return EngineStats(self._stored.frames, self._stored.nbytes, self._background.depth)

    def _pass(self, key: Key, number: int, frame: NDArray[np.generic]) -> bool:
        """Give the library a plane that has files of its own, as it is; False: the library takes regions only."""
        array, origin = key
        where = self._grids[array].region(origin)
        nbytes = frame.nbytes
        self._room.wait_while(lambda: key in self._live or key in self._passing)
        self._room.reserve(nbytes, self._relieve)
        wait = None
        try:
            wait = self._arrays[array].begin(where, frame)
        finally:
            if wait is None:
                self._room.unreserve(nbytes)
        if wait is None:
            return False
        self._passing.add(key)
        self._background.submit(partial(self._passed, key, where, nbytes, wait), (number,))
        return True

    def _passed(self, key: Key, where: Where, nbytes: int, wait: Callable[[], object]) -> None:
        """Take note of a plane that the library has got, when it is in its files (in the background)."""
        try:
            wait()
            self._stored.note_part(key[0], where, nbytes)
            self._stored.note_region(key, 1)
        finally:
            self._passing.discard(key)
            self._room.unreserve(nbytes)

    def _begin(self, key: Key) -> Region:
        """Return an empty region, or one that was on disk before, waiting for memory if need be."""
        array, origin = key
        grid = self._grids[array]
        self._room.wait_while(lambda: key in self._live)  # it is on its way to disk
        planes = grid.planes(origin)
        memory = self._room.take(planes * grid.plan.frame_bytes, self._relieve)
        region = Region(memory, planes, grid.plan)
        if not grid.independent and key in self._stored:
            try:
                stored = self._arrays[array].load(grid.region(origin))
            except BaseException:
                self._room.give_back(memory)
                raise
            region.data[...] = stored.reshape(region.data.shape)
            region.resume(self._aside.pop(key, None))
        with self._lock:
            self._open[key] = self._live[key] = region
        return region

    def _fill(
        self, key: Key, region: Region, slot: int, number: int, frame: NDArray[np.generic]
    ) -> None:
        """Put a plane into its slot; hand the region over when that made it whole."""
        with region.filling:
            region.data[slot] = frame
            with self._lock:
                region.note(slot, number)
                if not region.missing:
                    self._hand_over(key)
                elif len(self._open) > 1:
                    self._open[key] = self._open.pop(key)

    def _relieve(self) -> bool:
        """Put the region that was touched longest ago on its way, unless others are; False: there is none."""
        with self._lock:
            key = next(iter(self._open), None)
            if key is None or self._passing or len(self._live) > len(self._open):
                return False
            if not self._grids[key[0]].independent:
                self._aside[key] = self._open[key].slots
            self._hand_over(key)
            return True

    def _hand_over(self, key: Key) -> None:
        """Have a region stored for the last time; it takes no more frames."""
        region = self._open.pop(key)
        self._background.submit(lambda: self._store_last(key, region), region.frames, strand=key)

    def _submit_part(self, key: Key, region: Region) -> None:
        """Have a region stored as it is now; it goes on taking frames."""
        slots, frames = bytes(region.slots), tuple(region.frames)
        self._background.submit(
            lambda: self._store_part(key, region, slots, len(frames)), frames, strand=key
        )

    def _store_last(self, key: Key, region: Region) -> None:
        """Store a region and give its memory back (in the background)."""
        try:
            if region.frames:
                for slot in region.empty():
                    region.data[slot] = 0
                self._store(key, region, region.data, region.slots, len(region.frames))
        finally:
            self._live.pop(key, None)
            self._room.give_back(region.memory)

    def _store_part(self, key: Key, region: Region, slots: bytes, count: int) -> None:
        """Store the planes that `slots` tells of, while others are filled (in the background)."""
        with region.storing:
            if self._grids[key[0]].independent:
                self._store(key, region, region.data, slots, count)
                return
            memory = self._room.try_to_take(region.memory.nbytes)
            if memory is None:  # then `write` waits, should it come to this region
                with region.filling:
                    for slot in region.empty():
                        region.data[slot] = 0
                    self._store(key, region, region.data, slots, count)
                return
            try:
                data = memory.view(region.data.dtype).reshape(region.data.shape)
                for slot, held in enumerate(slots):
                    data[slot] = region.data[slot] if held else 0
                self._store(key, region, data, slots, count)
            finally:
                self._room.give_back(memory)

    def _store(
        self,
        key: Key,
        region: Region,
        data: NDArray[np.generic],
        slots: bytes | bytearray,
        count: int,
    ) -> None:
        """Give the library what it has not got yet: planes with files of their own, else the whole region."""
        array, origin = key
        grid = self._grids[array]
        parts = [(grid.region(origin), slice(None))]
        if grid.independent and slots.count(TAKEN) < len(slots):
            parts = list(grid.runs(origin, slots))
        for where, planes in parts:
            part = data[planes].reshape([s.stop - s.start for s in where])
            with self._gate(key):
                self._arrays[array].store(where, part)
            self._stored.note_part(array, where, part.nbytes)
        for slot, held in enumerate(slots):
            if held == TAKEN:
                region.slots[slot] = STORED
        del region.frames[:count]
        self._stored.note_region(key, count)

    def _gate(self, key: Key) -> threading.Lock:
        """Return what keeps a reader from looking into a region's file while it is replaced."""
        array, origin = key
        plan = self._grids[array].plan
        file = tuple(o // n for o, n in zip(origin, plan.shards or plan.chunks, strict=False))
        return self._gates[hash((array, file)) % len(self._gates)]

    def _publish(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Force files to the medium, if asked for, and show the shapes; an error is kept like a worker's."""
        try:
            self._stored.sync()
            self._shown.show(shapes)
        except OSError as error:
            self._background.failures.append(Failure(error))
