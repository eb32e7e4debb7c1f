"""A bounded amount of reusable memory for frames on their way to disk."""

from __future__ import annotations

import mmap
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ome_writers.locks import Condition, new_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["MemoryBudget"]

T = TypeVar("T")


class MemoryBudget:
    """Lends memory, and blocks while the budget is used up; thread-safe.

    Released memory is cached and reused, because new memory costs the kernel more time than copying a frame into it.
    The built-in engines use `storage.memory_pool.MemoryPool`, which is page-aligned.

    Parameters
    ----------
    max_bytes
        Bytes that may be lent or cached. A larger piece is lent if nothing else is.
    free_memory
        Called without a lock when the budget is used up, to start the release of memory. If it returns False, because
        it cannot, the caller waits for the next release.
    """

    def __init__(self, max_bytes: int, free_memory: Callable[[], bool]) -> None:
        self._max_bytes = max_bytes
        self._free_memory = free_memory
        self._used = 0
        self._cached: defaultdict[int, list[NDArray[np.uint8]]] = defaultdict(list)  # by size
        self._lock = new_lock()
        self._released = Condition()
        self._releases = 0

    def acquire(self, nbytes: int) -> NDArray[np.uint8]:
        """Return uninitialized memory; blocks while the budget is used up."""
        return self._when_available(nbytes, lambda: self._lend(nbytes))

    def try_acquire(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return uninitialized memory; None if the budget is used up."""
        with self._lock:
            return self._lend(nbytes) if self._used + nbytes <= self._max_bytes else None

    def release(self, memory: NDArray[np.uint8]) -> None:
        """Take back memory, of which the caller keeps no reference."""
        with self._lock:
            if self._used + self._cached_bytes() <= self._max_bytes:
                self._cached[memory.nbytes].append(memory)
        self.unreserve(memory.nbytes)

    def reserve(self, nbytes: int) -> None:
        """Count memory of a library as lent; blocks while the budget is used up."""
        self._when_available(nbytes, lambda: self._count(nbytes))

    def unreserve(self, nbytes: int) -> None:
        with self._lock:
            self._used -= nbytes
            self._releases += 1
        self._released.notify_all()

    def set_used(self, used: int) -> None:
        """Correct the number of lent bytes, after an exception interrupted one of these methods."""
        with self._lock:
            self._used = used
        self.unreserve(0)

    def prepare(self, nbytes: int, pieces: int) -> None:
        """Cache up to `pieces` pieces of `nbytes`, so that `acquire` does not wait for the kernel."""
        with self._lock:
            available = self._max_bytes - self._used - self._cached_bytes()
            for _ in range(min(pieces, available // nbytes)):
                memory = np.empty(nbytes, np.uint8)
                memory[:: mmap.PAGESIZE] = 0
                self._cached[nbytes].append(memory)

    def wait_while(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is false; it is checked at each release."""
        self._released.wait_for(lambda: not condition())

    def clear(self) -> None:
        """Drop cached memory."""
        with self._lock:
            self._cached.clear()

    def _when_available(self, nbytes: int, lend: Callable[[], T]) -> T:
        while True:
            with self._lock:
                if not self._used or self._used + nbytes <= self._max_bytes:
                    return lend()
                releases = self._releases
            if not self._free_memory():
                self._await_release(releases)

    def _await_release(self, releases: int) -> None:
        self._released.wait_for(lambda: self._releases != releases)

    def _lend(self, nbytes: int) -> NDArray[np.uint8]:
        if self._cached[nbytes]:
            self._used += nbytes
            return self._cached[nbytes].pop()
        self._count(nbytes)
        return np.empty(nbytes, np.uint8)

    def _count(self, nbytes: int) -> None:
        self._used += nbytes
        cached = self._cached_bytes()
        while cached and self._used + cached > self._max_bytes:
            size = next(size for size, pieces in self._cached.items() if pieces)
            self._cached[size].pop()
            cached -= size

    def _cached_bytes(self) -> int:
        return sum(size * len(pieces) for size, pieces in self._cached.items())
