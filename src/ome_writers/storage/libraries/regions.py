"""Planes become whole chunks and shards in memory of ours.

A library that is given a shard plane by plane reads, changes and rewrites it each time. Here a region is put together
and handed over once. One that is not whole is written as it is at each flush that finds something new in it, and when
memory is short: then the region that was touched longest ago goes, to be read back when another of its planes comes.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from ome_writers.locks import new_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan
    from ome_writers.storage.libraries.library import Library
    from ome_writers.storage.libraries.region_grid import Key

__all__ = ["Regions"]

EMPTY, TAKEN, STORED = 0, 1, 2
"""What a slot holds: nothing, a plane that is only in memory, a plane that is also on disk."""


class _Region:
    """A region that is being filled.

    Attributes
    ----------
    memory, data
        Its memory, and the same as planes: (planes, y, x).
    slots
        For each plane `EMPTY`, `TAKEN` or `STORED`.
    frames
        Numbers of the frames that are not on disk.
    ended
        Whether it was stored for the last time.
    storing, filling
        Held while the region is read by a library, and while a plane is put into it.
    """

    def __init__(self, memory: NDArray[np.uint8], planes: int, plan: ArrayPlan) -> None:
        self.memory = memory
        self.data: NDArray[np.generic] = memory.view(plan.dtype).reshape(planes, *plan.frame_shape)
        self.slots = bytearray(planes)
        self.ended = False
        self.frames: list[int] = []
        self.storing = new_lock()
        self.filling = new_lock()

    def note(self, slot: int, number: int) -> None:
        """Note that frame `number` is in a slot."""
        self.slots[slot] = TAKEN
        self.frames.append(number)

    @property
    def whole(self) -> bool:
        """Whether no slot is empty."""
        return EMPTY not in self.slots

    def resume(self, slots: bytearray | None) -> None:
        """Go on where an earlier region of the same place ended; None: it was whole."""
        self.slots = bytearray([STORED]) * len(self.slots) if slots is None else slots

    def empty(self) -> Iterator[int]:
        """Yield the empty slots."""
        return (slot for slot, held in enumerate(self.slots) if not held)


class Regions:
    """The regions of some arrays, in memory of the library's `budget`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open: OrderedDict[Key, _Region] = OrderedDict()  # touched longest ago first
        self._live: dict[Key, _Region] = {}  # open, or on their way to disk
        self._aside: dict[Key, bytearray] = {}  # slots of regions that went before they were whole
        self._lock = new_lock()

    @property
    def leaving(self) -> bool:
        """Whether memory is on its way back."""
        return len(self._live) > len(self._open)

    def write(
        self, number: int, array: int, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> None:
        """Take one plane; have its region stored when that made it whole."""
        origin, slot = self._library.grids[array].split(index)
        key = (array, origin)
        region = self._open.get(key) or self._begin(key)
        if region.slots[slot]:
            with region.storing:  # a flush may be writing what the place holds now
                self._fill(key, region, slot, number, frame)
        else:
            self._fill(key, region, slot, number, frame)

    def read(self, key: Key, slot: int) -> NDArray[np.generic] | None:
        """Return a plane that is in memory; None: what there is of it is on disk."""
        region = self._live.get(key)
        if region is not None and region.slots[slot]:
            plane: NDArray[np.generic] = region.data[slot].copy()
            if self._live.get(key) is region:  # else its memory may be another region's by now
                return plane
        return None

    def submit(self) -> None:
        """Have all that is new stored; regions that are not whole go on taking planes."""
        with self._lock:
            for key, region in self._open.items():
                if region.frames:
                    slots, frames = bytes(region.slots), tuple(region.frames)
                    store = partial(self._store_part, key, region, slots, len(frames))
                    self._library.background.submit(store, frames, serial_key=key)

    def let_go(self) -> bool:
        """Put the region aside that was touched longest ago; False: none is open."""
        with self._lock:
            key = next(iter(self._open), None)
            if key is None:
                return False
            if not self._library.grids[key[0]].independent:
                self._aside[key] = self._open[key].slots
            self._hand_over(key)
            return True

    def recover(self) -> None:
        """Store what an exception in `_hand_over` has left between two steps."""
        with self._lock:
            for key, region in list(self._live.items()):
                if self._open.get(key) is not region:
                    self._submit_last(key, region)

    @property
    def lent_bytes(self) -> int:
        """Bytes of the budget that regions have."""
        return sum(region.memory.nbytes for region in list(self._live.values()))

    def _begin(self, key: Key) -> _Region:
        """Return an empty region, or one that was on disk before, waiting for memory if need be."""
        array, origin = key
        library = self._library
        grid, budget = library.grids[array], library.budget
        budget.wait_while(lambda: key in self._live)  # it is on its way to disk
        planes = grid.planes(origin)
        memory = budget.acquire(planes * grid.plan.frame_bytes)
        region = _Region(memory, planes, grid.plan)
        if not grid.independent and key in library.stored:
            try:
                stored = library.arrays[array].load(grid.region(origin))
            except BaseException:
                budget.release(memory)
                raise
            region.data[...] = stored.reshape(region.data.shape)
            region.resume(self._aside.pop(key, None))
        with self._lock:
            self._live[key] = region  # first: what is live and not open, `recover` stores
            self._open[key] = region
        return region

    def _fill(
        self, key: Key, region: _Region, slot: int, number: int, frame: NDArray[np.generic]
    ) -> None:
        """Put a plane into its slot; hand the region over when that made it whole."""
        with region.filling:
            region.data[slot] = frame
            with self._lock:
                region.note(slot, number)
                if region.whole:
                    self._hand_over(key)
                elif len(self._open) > 1:
                    self._open.move_to_end(key)

    def _hand_over(self, key: Key) -> None:
        """Have a region stored for the last time; it takes no more planes."""
        self._submit_last(key, self._open.pop(key))

    def _submit_last(self, key: Key, region: _Region) -> None:
        store = partial(self._store_last, key, region)
        self._library.background.submit(store, region.frames, serial_key=key)

    def _store_last(self, key: Key, region: _Region) -> None:
        """Store a region and give its memory back (in the background)."""
        if region.ended:
            return  # it was handed over twice, see `recover`
        region.ended = True
        try:
            if region.frames:
                for slot in region.empty():
                    region.data[slot] = 0
                self._store(key, region, region.data, region.slots, len(region.frames))
        finally:
            self._live.pop(key, None)
            self._library.budget.release(region.memory)

    def _store_part(self, key: Key, region: _Region, slots: bytes, count: int) -> None:
        """Store the planes that `slots` tells of, while others are filled (in the background)."""
        budget = self._library.budget
        with region.storing:
            if self._library.grids[key[0]].independent:
                self._store(key, region, region.data, slots, count)
                return
            memory = budget.try_to_take(region.memory.nbytes)
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
                budget.release(memory)

    def _store(
        self,
        key: Key,
        region: _Region,
        data: NDArray[np.generic],
        slots: bytes | bytearray,
        count: int,
    ) -> None:
        """Give the library what it has not got yet: planes with files of their own, else the whole region."""
        array, origin = key
        library = self._library
        grid = library.grids[array]
        parts = [(grid.region(origin), slice(None))]
        if grid.independent and slots.count(TAKEN) < len(slots):
            parts = list(grid.runs(origin, [held == TAKEN for held in slots]))
        for where, planes in parts:
            part = data[planes].reshape([s.stop - s.start for s in where])
            with library.gate(key):
                library.arrays[array].store(where, part)
            library.stored.note_part(array, where, part.nbytes)
        for slot, held in enumerate(slots):
            if held == TAKEN:
                region.slots[slot] = STORED
        del region.frames[:count]
        library.stored.note_region(key, count)
