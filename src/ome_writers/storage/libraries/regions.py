"""Assembly of planes into whole chunks and shards, in our own memory.

A region is given to the library when it is complete. An incomplete one is stored at each flush that finds new planes in
it, and evicted when memory is short: the least recently used region first, to be loaded again for its next plane.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from ome_writers.locks import new_lock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan
    from ome_writers.storage.libraries.library import Library
    from ome_writers.storage.libraries.region_grid import RegionKey

__all__ = ["Regions"]

EMPTY, DIRTY, STORED = 0, 1, 2
"""State of a slot: no plane, a plane in memory only, a plane in memory and on disk."""


class _Region:
    """A region that is being filled."""

    def __init__(self, memory: NDArray[np.uint8], planes: int, plan: ArrayPlan) -> None:
        self.memory = memory
        self.data: NDArray[np.generic] = memory.view(plan.dtype).reshape(planes, *plan.frame_shape)
        self.slots = bytearray(planes)  # `EMPTY`, `DIRTY` or `STORED`
        self.frames: list[int] = []  # numbers of frames that are not on disk
        self.closed = False  # stored for the last time
        self.store_lock = new_lock()  # held while the library reads the region
        self.fill_lock = new_lock()  # held while a plane is copied into it

    def zero_empty_slots(self) -> None:
        for slot, state in enumerate(self.slots):
            if state == EMPTY:
                self.data[slot] = 0


class Regions:
    """The regions of some arrays, in memory of the library's `budget`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open: OrderedDict[RegionKey, _Region] = OrderedDict()  # least recently used first
        self._in_memory: dict[RegionKey, _Region] = {}  # open, or being stored for the last time
        self._evicted_slots: dict[RegionKey, bytearray] = {}  # of incomplete regions
        self._lock = new_lock()

    @property
    def storing(self) -> bool:
        """Whether a region is being stored, after which it releases its memory."""
        return len(self._in_memory) > len(self._open)

    def write(
        self, number: int, array: int, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> None:
        """Copy one plane; submit its region if that completes it."""
        origin, slot = self._library.grids[array].split(index)
        key = (array, origin)
        region = self._open.get(key) or self._begin(key)
        if region.slots[slot]:
            with region.store_lock:  # a flush may be storing the plane that is replaced
                self._fill(key, region, slot, number, frame)
        else:
            self._fill(key, region, slot, number, frame)

    def read(self, key: RegionKey, slot: int) -> NDArray[np.generic] | None:
        """Return a plane from memory; None if it can only be on disk."""
        region = self._in_memory.get(key)
        if region is not None and region.slots[slot]:
            plane: NDArray[np.generic] = region.data[slot].copy()
            if self._in_memory.get(key) is region:  # otherwise its memory may have been reused
                return plane
        return None

    def flush(self) -> None:
        """Submit all new planes; incomplete regions stay open."""
        with self._lock:
            for key, region in self._open.items():
                if region.frames:
                    slots, frames = bytes(region.slots), tuple(region.frames)
                    store = partial(self._store_open, key, region, slots, len(frames))
                    self._library.background.submit(store, frames, serial_key=key)

    def evict_oldest(self) -> bool:
        """Submit the least recently used region; return False if none is open."""
        with self._lock:
            key = next(iter(self._open), None)
            if key is None:
                return False
            if not self._library.grids[key[0]].plane_per_file:
                self._evicted_slots[key] = self._open[key].slots
            self._close(key)
            return True

    def recover(self) -> None:
        """Submit regions that an exception left between `_open` and the background queue."""
        with self._lock:
            for key, region in list(self._in_memory.items()):
                if self._open.get(key) is not region:
                    self._submit_last(key, region)

    @property
    def used_bytes(self) -> int:
        """Bytes of the memory budget that regions use."""
        return sum(region.memory.nbytes for region in list(self._in_memory.values()))

    def _begin(self, key: RegionKey) -> _Region:
        """Open a region, with its planes on disk if there are any; blocks while memory is short."""
        array, origin = key
        library = self._library
        grid, budget = library.grids[array], library.budget
        budget.wait_while(lambda: key in self._in_memory)  # until the evicted region is stored
        planes = grid.planes(origin)
        memory = budget.acquire(planes * grid.plan.frame_bytes)
        region = _Region(memory, planes, grid.plan)
        if not grid.plane_per_file and key in library.written:
            try:
                stored = library.arrays[array].load(grid.region(origin))
            except BaseException:
                budget.release(memory)
                raise
            region.data[...] = stored.reshape(region.data.shape)
            evicted_slots = self._evicted_slots.pop(key, None)  # None: it was complete
            region.slots = evicted_slots or bytearray([STORED]) * planes
        with self._lock:
            self._in_memory[key] = region  # first: `recover` submits regions missing in `_open`
            self._open[key] = region
        return region

    def _fill(
        self, key: RegionKey, region: _Region, slot: int, number: int, frame: NDArray[np.generic]
    ) -> None:
        with region.fill_lock:
            region.data[slot] = frame
            with self._lock:
                region.slots[slot] = DIRTY
                region.frames.append(number)
                if EMPTY not in region.slots:
                    self._close(key)
                elif len(self._open) > 1:
                    self._open.move_to_end(key)

    def _close(self, key: RegionKey) -> None:
        self._submit_last(key, self._open.pop(key))

    def _submit_last(self, key: RegionKey, region: _Region) -> None:
        store = partial(self._store_last, key, region)
        self._library.background.submit(store, region.frames, serial_key=key)

    def _store_last(self, key: RegionKey, region: _Region) -> None:
        """Store a closed region and release its memory, in a background thread."""
        if region.closed:
            return  # `recover` submitted it again
        region.closed = True
        try:
            if region.frames:
                region.zero_empty_slots()
                self._store(key, region, region.data, region.slots, len(region.frames))
        finally:
            self._in_memory.pop(key, None)
            self._library.budget.release(region.memory)

    def _store_open(self, key: RegionKey, region: _Region, slots: bytes, count: int) -> None:
        """Store the planes in `slots` while others are being filled, in a background thread."""
        budget = self._library.budget
        with region.store_lock:
            if self._library.grids[key[0]].plane_per_file:
                self._store(key, region, region.data, slots, count)
                return
            memory = budget.try_acquire(region.memory.nbytes)
            if memory is None:  # no memory for a copy: block writes to this region instead
                with region.fill_lock:
                    region.zero_empty_slots()
                    self._store(key, region, region.data, slots, count)
                return
            try:
                data = memory.view(region.data.dtype).reshape(region.data.shape)
                for slot, state in enumerate(slots):
                    data[slot] = region.data[slot] if state else 0
                self._store(key, region, data, slots, count)
            finally:
                budget.release(memory)

    def _store(
        self,
        key: RegionKey,
        region: _Region,
        data: NDArray[np.generic],
        slots: bytes | bytearray,
        count: int,
    ) -> None:
        """Store the dirty planes, or the whole region if they share files; `count` frames are new."""
        array, origin = key
        library = self._library
        grid = library.grids[array]
        parts = [(grid.region(origin), slice(None))]
        if grid.plane_per_file and slots.count(DIRTY) < len(slots):
            parts = list(grid.runs(origin, [state == DIRTY for state in slots]))
        for selection, planes in parts:
            part = data[planes].reshape([s.stop - s.start for s in selection])
            with library.file_lock(key):
                library.arrays[array].store(selection, part)
            library.written.add_bytes(array, selection, part.nbytes)
        for slot, state in enumerate(slots):
            if state == DIRTY:
                region.slots[slot] = STORED
        del region.frames[:count]
        library.written.add_region(key, count)
