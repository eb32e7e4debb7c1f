"""Planes that a library has taken and does not bring to disk yet: kept for `read`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ome_writers.locks import new_lock
from ome_writers.storage.libraries.memory_budget import MemoryBudget

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Index = tuple[int, ...]

__all__ = ["ReadbackCache"]


class _Row(NamedTuple):
    number: int
    planes: dict[Index, NDArray[np.uint8]]


class ReadbackCache:
    """Copies of the planes of each array's unfinished row of shards; safe to use from any thread.

    Parameters
    ----------
    most_bytes
        The most that is kept; when that is not enough, old planes are let go first.
    """

    def __init__(self, most_bytes: int) -> None:
        self._budget = MemoryBudget(most_bytes, self._forget)
        self._rows: dict[int, _Row] = {}  # by array
        self._lock = new_lock()

    def prepare(self, plane_bytes: int, planes: int) -> None:
        """Have memory for `planes` of an array ready, as far as there may be that much."""
        self._budget.prepare(plane_bytes, planes)

    def keep(self, array: int, row: int, index: Index, frame: NDArray[np.generic]) -> None:
        """Keep a copy of a plane, and no longer those of an earlier row."""
        if array in self._rows and self._rows[array].number != row:
            self.let_go(array)
        memory = self._budget.acquire(frame.nbytes)
        memory.view(frame.dtype).reshape(frame.shape)[...] = frame
        with self._lock:
            self._rows.setdefault(array, _Row(row, {})).planes[index] = memory

    def let_go(self, array: int) -> None:
        """Keep nothing of an array any more: its row is finished."""
        with self._lock:
            row = self._rows.pop(array, None)
            for memory in () if row is None else row.planes.values():
                self._budget.release(memory)

    def plane(self, array: int, index: Index) -> NDArray[np.uint8] | None:
        """Return a copy of a plane's bytes; None when it is not kept."""
        with self._lock:
            memory = self._rows[array].planes.get(index) if array in self._rows else None
            return None if memory is None else memory.copy()

    def recover(self) -> None:
        """Count memory again after an exception has ended `keep` or `let_go` between two steps."""
        with self._lock:
            self._rows = {array: row for array, row in self._rows.items() if row.planes}
            planes = (memory for row in self._rows.values() for memory in row.planes.values())
            self._budget.restore(sum(memory.nbytes for memory in planes))

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._rows.clear()
            self._budget.clear()

    def _forget(self) -> bool:
        """Let go of an old plane; False: there is none."""
        with self._lock:
            for array, row in self._rows.items():
                self._budget.release(row.planes.pop(next(iter(row.planes))))
                if not row.planes:
                    del self._rows[array]
                return True
            return False
