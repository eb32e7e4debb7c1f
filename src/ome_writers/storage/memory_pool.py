"""Page-aligned memory for frames on their way to the disk, within a budget; nothing is allocated a frame."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.locks import Condition, new_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["MemoryPool"]

_PATIENCE = 0.02  # seconds between looks when memory is short; a release wakes earlier
# bytes that may be lent before `acquire` hopes for a buffer that is on its way back
_WARM = 16 * 2**20
_HOPE = 0.001  # seconds: such a buffer is warm in the cache, and new memory costs a fault a page


class MemoryPool:
    """Lends page-aligned buffers and counts what is lent.

    Parameters
    ----------
    budget
        The most bytes that are lent or kept for reuse. One buffer besides the loans is always granted, however large.
    relieve
        Called (without any lock held) when the budget is used up; it should bring some lent buffer on its way
        back, and must not wait for one.
    loans
        Returns the bytes that callers fill at this moment: they cannot come back while `append` waits for memory.
    """

    def __init__(
        self, budget: int, relieve: Callable[[], None], loans: Callable[[], int] = lambda: 0
    ) -> None:
        self._budget = budget
        self._relieve = relieve
        self._loans = loans
        self._free: dict[int, list[NDArray[np.uint8]]] = {}
        self._used = 0
        self._lock = new_lock()
        self._released = Condition()

    def prepare(self, nbytes: int, pieces: int) -> None:
        """Have up to `pieces` buffers of `nbytes` ready: who takes one need not wait for the system to make it."""
        for _ in range(min(pieces, self._budget // nbytes)):
            buffer = np.frombuffer(_memory(nbytes), dtype=np.uint8)
            buffer[:: mmap.PAGESIZE] = 0
            with self._lock:
                self._free.setdefault(nbytes, []).append(buffer)

    def acquire(
        self, nbytes: int, waiting: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Return a buffer of `nbytes`, its content undefined. Blocks while the budget is used up.

        For a loan `waiting` is called, with the bytes in use, now and then while this blocks; what it raises ends this.
        """
        if self._used + nbytes > _WARM and not self._free.get(nbytes):
            self._released.wait_for(lambda: bool(self._free.get(nbytes)), _HOPE)
        self.reserve(nbytes, waiting)
        with self._lock:
            if self._free.get(nbytes):
                return self._free[nbytes].pop()
            self._shrink(nbytes)
        return np.frombuffer(_memory(nbytes), dtype=np.uint8)

    def release(self, buffer: NDArray[np.uint8]) -> None:
        """Take a buffer back."""
        with self._lock:
            self._free.setdefault(buffer.nbytes, []).append(buffer)
        self.unreserve(buffer.nbytes)

    def reserve(self, nbytes: int, waiting: Callable[[int], None] | None = None) -> None:
        """Count `nbytes` of somebody else's memory as lent. Blocks while the budget is used up."""
        while True:
            with self._lock:
                if self._fits(nbytes, loan=waiting is not None):
                    self._used += nbytes
                    return
            self._relieve()
            if waiting is not None:
                waiting(self._used)
            self._released.wait_for(lambda: self._fits(nbytes, loan=waiting is not None), _PATIENCE)

    def unreserve(self, nbytes: int) -> None:
        """Take back what `reserve` counted."""
        with self._lock:
            self._used -= nbytes
        self._released.notify_all()

    def set_used(self, used: int) -> None:
        """Count `used` bytes as lent: an exception has ended `acquire` or `release` between two steps."""
        with self._lock:
            self._used = used
        self._released.notify_all()

    def clear(self) -> None:
        """Give the memory that is kept for reuse back to the system."""
        with self._lock:
            self._free.clear()

    def _fits(self, nbytes: int, *, loan: bool) -> bool:
        if self._used + nbytes <= self._budget:
            return True
        return not self._used if loan else self._used <= self._loans()

    def _shrink(self, nbytes: int) -> None:
        """Drop kept buffers of other sizes until a new one of `nbytes` fits the budget."""
        kept = sum(size * len(buffers) for size, buffers in self._free.items())
        for size in list(self._free):
            while self._free[size] and self._used + kept > self._budget:
                self._free[size].pop()
                kept -= size


def _memory(nbytes: int) -> mmap.mmap:
    """Return new page-aligned memory of our own, in huge pages where there are some: its first use costs half then."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, nbytes)
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
