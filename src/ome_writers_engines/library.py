"""The sink that writes regions to the arrays of a library."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.toolkit import MemoryBudget, new_lock, sync_files
from ome_writers_engines.region_grid import RegionGrid, RegionKey, Selection
from ome_writers_engines.regions import (
    DIRTY,
    EMPTY,
    STORED,
    Region,
    TransactionRegion,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ome_writers_engines.library_array import LibraryArray

_FILE_LOCKS = 64  # files that can be read and replaced at the same time


class LibrarySink:
    """Writes regions to the arrays of a library, and knows which were written; see `write_buffer.Sink`.

    `folders` are the directories of the arrays, below `root`.
    """

    def __init__(
        self,
        root: Path,
        folders: Sequence[Path],
        arrays: Sequence[LibraryArray],
        grids: Sequence[RegionGrid],
        budget: MemoryBudget,
        *,
        durable: bool,
    ) -> None:
        self.arrays = [*arrays]
        self.grids = [*grids]
        # the slots of the regions that were written before they were complete, and are not in memory
        self.incomplete: dict[RegionKey, bytearray] = {}
        self._root = root
        self._folders = [*folders]
        self._budget = budget
        self._durable = durable
        self._lock = new_lock()  # guards the two lists
        self._written = [bytearray() for _ in grids]  # by region number: 1 if ever written
        self._unsynced: list[tuple[int, Selection]] = []
        self._file_locks = [threading.Lock() for _ in range(_FILE_LOCKS)]

    def add(
        self,
        folders: Sequence[Path],
        arrays: Sequence[LibraryArray],
        grids: Sequence[RegionGrid],
    ) -> None:
        """Add arrays; their numbers follow those of the earlier ones."""
        self.arrays += arrays
        self.grids += grids
        self._folders += folders
        self._written += (bytearray() for _ in grids)

    def store(self, region: Region | TransactionRegion, slots: frozenset[int] | None) -> None:
        if isinstance(region, TransactionRegion):
            region.transaction.commit()
            self._add_unsynced(region.group, self.grids[region.group].region(region.origin))
            self._add_written(region.key)
        elif region.frames:  # otherwise a flush has stored all planes
            self._store_region(region, slots)

    def was_written(self, key: RegionKey) -> bool:
        """Whether any part of a region was ever written."""
        number, written = self.grids[key[0]].number(key[1]), self._written[key[0]]
        return number < len(written) and bool(written[number])

    def file_lock(self, key: RegionKey) -> threading.Lock:
        """Return the lock that prevents reading the file of a region while it is replaced."""
        array, origin = key
        level = self.grids[array].level
        file = tuple(o // n for o, n in zip(origin, level.shards or level.chunks, strict=False))
        return self._file_locks[hash((array, file)) % len(self._file_locks)]

    def sync(self) -> None:
        """Force the files that were written since the last call to the medium, if durable."""
        if not self._durable:
            return
        with self._lock:
            unsynced, self._unsynced = self._unsynced, []
        files = (
            self._folders[array] / file
            for array, selection in unsynced
            for file in self.grids[array].files(selection)
        )
        sync_files(files, self._root)

    def _store_region(self, region: Region, slots: frozenset[int] | None) -> None:
        states = bytearray(region.slots)
        for slot in range(len(states)):
            if slots is not None and slot not in slots:
                states[slot] = EMPTY
        plane_per_file = self.grids[region.group].plane_per_file
        if region.sealed is None and not plane_per_file:
            self._store_open(region, states)
        else:
            if not plane_per_file:
                region.zero_empty_slots()
            self._store_planes(region, region.data, states)

    def _store_open(self, region: Region, states: bytearray) -> None:
        """Store planes of a region while others are added to it."""
        memory = self._budget.try_acquire(region.data.nbytes)
        if memory is None:  # no memory for a copy: block writes to this region instead
            with region.fill_lock:
                region.zero_empty_slots()
                self._store_planes(region, region.data, states)
            return
        try:
            data = memory.view(region.data.dtype).reshape(region.data.shape)
            for slot, state in enumerate(states):
                data[slot] = region.data[slot] if state else 0
            self._store_planes(region, data, states)
        finally:
            self._budget.release(memory)

    def _store_planes(self, region: Region, data: NDArray[np.generic], states: bytearray) -> None:
        """Store the dirty planes, or the whole region if they share files."""
        grid = self.grids[region.group]
        parts = [(grid.region(region.origin), slice(None))]
        if grid.plane_per_file and states.count(DIRTY) < len(states):
            parts = list(grid.runs(region.origin, [state == DIRTY for state in states]))
        for selection, planes in parts:
            part = data[planes].reshape([s.stop - s.start for s in selection])
            with self.file_lock(region.key):
                self.arrays[region.group].store(selection, part)
            self._add_unsynced(region.group, selection)
        for slot, state in enumerate(states):
            if state == DIRTY:
                region.slots[slot] = STORED
        self._add_written(region.key)

    def _add_unsynced(self, array: int, selection: Selection) -> None:
        if self._durable:
            with self._lock:
                self._unsynced.append((array, selection))

    def _add_written(self, key: RegionKey) -> None:
        number, written = self.grids[key[0]].number(key[1]), self._written[key[0]]
        with self._lock:
            written.extend(bytes(max(0, number + 1 - len(written))))
            written[number] = 1
