"""Read-back cache: planes that a library has accepted but not written yet, kept for `read`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.toolkit import MemoryBudget, new_lock

Index = tuple[int, ...]


class _ShardRow(NamedTuple):
    number: int
    planes: dict[Index, NDArray[np.uint8]]


class ReadbackCache:
    """Copies of the planes of each array's incomplete row of shards, oldest dropped first; thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._budget = MemoryBudget(max_bytes, self._evict_oldest)
        self._rows: dict[int, _ShardRow] = {}  # by array
        self._lock = new_lock()

    def prepare(self, plane_bytes: int, planes: int) -> None:
        """Allocate memory for up to `planes` planes."""
        self._budget.prepare(plane_bytes, planes)

    def add(self, array: int, row: int, index: Index, frame: NDArray[np.generic]) -> None:
        """Copy a plane, and drop those of an earlier row."""
        if array in self._rows and self._rows[array].number != row:
            self.drop(array)
        memory = self._budget.acquire(frame.nbytes)
        memory.view(frame.dtype).reshape(frame.shape)[...] = frame
        with self._lock:
            self._rows.setdefault(array, _ShardRow(row, {})).planes[index] = memory

    def drop(self, array: int) -> None:
        """Drop all planes of an array, because its row is complete."""
        with self._lock:
            row = self._rows.pop(array, None)
            for memory in () if row is None else row.planes.values():
                self._budget.release(memory)

    def plane(self, array: int, index: Index) -> NDArray[np.uint8] | None:
        """Return a copy of a plane's bytes; None if it is not cached."""
        with self._lock:
            memory = self._rows[array].planes.get(index) if array in self._rows else None
            return None if memory is None else memory.copy()

    @property
    def used_bytes(self) -> int:
        return self._budget.used_bytes

    def recover(self) -> None:
        """Correct the memory budget after an exception interrupted `add` or `drop`."""
        with self._lock:
            self._rows = {array: row for array, row in self._rows.items() if row.planes}
            planes = (memory for row in self._rows.values() for memory in row.planes.values())
            self._budget.set_used(sum(memory.nbytes for memory in planes))

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()
            self._budget.clear()

    def _evict_oldest(self) -> bool:
        with self._lock:
            for array, row in self._rows.items():
                self._budget.release(row.planes.pop(next(iter(row.planes))))
                if not row.planes:
                    del self._rows[array]
                return True
            return False
