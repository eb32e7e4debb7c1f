"""Assembly of planes into whole chunks and shards, in our own memory or in that of a library with transactions.

A region is given to the library when it is complete. An incomplete one is stored at each flush that finds new planes in
it, and when memory is short: the least recently used region first, to be loaded again for its next plane.

In a transaction, each plane is copied once, by the thread that appends. A flush also commits incomplete regions; the
next plane then begins another transaction, for which the library reads the region's file, adds to it and replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.toolkit import Unit, new_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers_engines.library_array import LibraryArray, Transaction
    from ome_writers_engines.region_grid import RegionGrid, RegionKey

EMPTY, DIRTY, STORED = 0, 1, 2
"""State of a slot: no plane, a plane in memory only, a plane in memory and on disk."""


class RegionSink(Protocol):
    """What a region needs of its sink, see `LibrarySink`."""

    @property
    def arrays(self) -> Sequence[LibraryArray]: ...

    @property
    def grids(self) -> Sequence[RegionGrid]: ...

    incomplete: dict[RegionKey, bytearray]

    def was_written(self, key: RegionKey) -> bool: ...

    def store(self, unit: Any, slots: frozenset[int] | None, /) -> None: ...


class Region(Unit):
    """A region that is being filled, in a buffer of the memory budget."""

    def __init__(self, key: RegionKey, sink: RegionSink, memory: NDArray[np.uint8]) -> None:
        super().__init__(key[0], sink, key, by_reference=False, resumable=True)
        self.origin = key[1]
        self._sink = sink
        self._buffers = [memory]
        level = sink.grids[self.group].level
        self._frame_bytes = level.frame_bytes
        planes = len(memory) // max(1, level.frame_bytes)
        self.data: NDArray[np.generic] = memory.view(level.numpy_dtype).reshape(
            planes, *level.frame_shape
        )
        self.slots = bytearray(planes)  # `EMPTY`, `DIRTY` or `STORED`
        self.fill_lock = new_lock()  # held while a plane is copied into it

    @property
    def key(self) -> RegionKey:
        return self.group, self.origin

    @property
    def nbytes(self) -> int:
        return (len(self.slots) - self.slots.count(EMPTY)) * self._frame_bytes

    @property
    def full(self) -> bool:
        return EMPTY not in self.slots

    def add(self, number: int, slot: int, frame: NDArray[np.generic]) -> None:
        """Copy a plane."""
        if self.slots[slot]:
            with self.store_lock:  # a flush may be storing the plane that is replaced
                self._fill(number, slot, frame)
        else:
            self._fill(number, slot, frame)

    def _fill(self, number: int, slot: int, frame: NDArray[np.generic]) -> None:
        with self.fill_lock:
            self.data[slot] = frame
            self.slots[slot] = DIRTY
            self.frames.append(number)

    def resume(self) -> None:
        """Load the planes that are on disk."""
        sink, grid = self._sink, self._sink.grids[self.group]
        if grid.plane_per_file or not sink.was_written(self.key):
            return
        stored = sink.arrays[self.group].load(grid.region(self.origin))
        self.data[...] = stored.reshape(self.data.shape)
        # if it is not among the incomplete regions, it was complete
        incomplete = sink.incomplete.pop(self.key, None)
        self.slots = incomplete or bytearray([STORED]) * len(self.slots)

    def seal(self, *, resume: bool) -> None:
        if resume:
            self._sink.incomplete[self.key] = self.slots
        super().seal(resume=resume)

    def filled_slots(self) -> frozenset[int]:
        return frozenset(slot for slot, state in enumerate(self.slots) if state != EMPTY)

    def zero_empty_slots(self) -> None:
        for slot, state in enumerate(self.slots):
            if state == EMPTY:
                self.data[slot] = 0

    def addresses(self) -> tuple[()]:
        return ()  # planes are replaced in memory

    def plane(  # pyright: ignore[reportIncompatibleMethodOverride] # each kind has its own address
        self, key: RegionKey, slot: int
    ) -> NDArray[np.generic] | None:
        if key != self.key:
            return None
        with self._memory_lock:
            if not self._buffers or not self.slots[slot]:
                return None
            copied: NDArray[np.generic] = self.data[slot].copy()
            return copied

    def _drop_planes(self) -> None:
        """Do nothing: without a buffer `plane` returns None."""


class TransactionRegion(Unit):
    """A region whose planes are in a transaction."""

    def __init__(self, key: RegionKey, sink: RegionSink, transaction: Transaction) -> None:
        # in order, if a flush divided the region into several transactions
        super().__init__(key[0], sink, key, by_reference=False)
        self.origin = key[1]
        self.transaction = transaction
        self._grid = sink.grids[self.group]
        self._planes = self._grid.planes(self.origin)
        self._slots: set[int] = set()
        self._lock = new_lock()  # of the transaction

    @property
    def key(self) -> RegionKey:
        return self.group, self.origin

    @property
    def nbytes(self) -> int:
        return len(self._slots) * self._grid.level.frame_bytes

    @property
    def full(self) -> bool:
        return len(self._slots) == self._planes

    def add(self, number: int, slot: int, frame: NDArray[np.generic]) -> None:
        """Copy a plane, for which the caller has reserved memory."""
        index = self._grid.index(self.origin, slot)
        with self._lock:
            self.transaction.put(self._grid.select(index, index), frame)
            self._reserved_bytes += self._grid.level.frame_bytes
            self.frames.append(number)
            self._slots.add(slot)

    def seal(self, *, resume: bool) -> None:
        with self._lock:  # no thread reads from the transaction while it is committed
            super().seal(resume=resume)

    def addresses(self) -> tuple[()]:
        return ()  # planes are replaced in the transaction

    def plane(  # pyright: ignore[reportIncompatibleMethodOverride] # each kind has its own address
        self, key: RegionKey, slot: int
    ) -> NDArray[np.generic] | None:
        if key != self.key:
            return None
        with self._lock:
            if slot not in self._slots or self.sealed is not None:
                return None
            index = self._grid.index(self.origin, slot)
            return self.transaction.get(self._grid.select(index, index))

    def _drop_planes(self) -> None:
        """Do nothing: the library has released its memory."""
