"""Page-aligned memory for frames on their way to disk, within a budget and reused: no allocation per frame."""

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

_POLL_INTERVAL_S = 0.02  # while memory is short; a release wakes waiting threads earlier
# Above this many bytes in use, `acquire` waits briefly for a buffer to be released: a reused buffer is warm in the
# cache, and new memory costs a page fault per page.
_REUSE_THRESHOLD_BYTES = 16 * 2**20
_REUSE_WAIT_S = 0.001


class MemoryPool:
    """Hands out page-aligned buffers and counts the bytes in use; thread-safe.

    Parameters
    ----------
    budget
        Maximum bytes in use or kept for reuse. One buffer in addition to the lent ones is always granted, however
        large.
    relieve
        Called, without any lock held, when the budget is used up. It should cause a buffer to be released soon, and
        must not wait for that.
    lent_bytes
        Returns the bytes that callers are filling now. They cannot be released while `append` waits for memory.
    """

    def __init__(
        self, budget: int, relieve: Callable[[], None], lent_bytes: Callable[[], int] = lambda: 0
    ) -> None:
        self._budget = budget
        self._relieve = relieve
        self._lent_bytes = lent_bytes
        self._free: dict[int, list[NDArray[np.uint8]]] = {}  # by size
        self._used = 0
        self._lock = new_lock()
        self._released = Condition()

    def prepare(self, nbytes: int, count: int) -> None:
        """Allocate up to `count` buffers of `nbytes` in advance."""
        for _ in range(min(count, self._budget // nbytes)):
            buffer = np.frombuffer(_allocate(nbytes), dtype=np.uint8)
            buffer[:: mmap.PAGESIZE] = 0
            with self._lock:
                self._free.setdefault(nbytes, []).append(buffer)

    def acquire(
        self, nbytes: int, on_wait: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Return a buffer of `nbytes` with undefined content. Blocks while the budget is used up.

        Pass `on_wait` for a buffer to be lent to a caller: it is called repeatedly while this blocks, with the bytes
        in use, and may raise to end the wait.
        """
        if self._used + nbytes > _REUSE_THRESHOLD_BYTES and not self._free.get(nbytes):
            self._released.wait_for(lambda: bool(self._free.get(nbytes)), _REUSE_WAIT_S)
        self.reserve(nbytes, on_wait)
        with self._lock:
            if self._free.get(nbytes):
                return self._free[nbytes].pop()
            self._shrink(nbytes)
        return np.frombuffer(_allocate(nbytes), dtype=np.uint8)

    def release(self, buffer: NDArray[np.uint8]) -> None:
        """Take a buffer back for reuse."""
        with self._lock:
            self._free.setdefault(buffer.nbytes, []).append(buffer)
        self.unreserve(buffer.nbytes)

    def reserve(self, nbytes: int, on_wait: Callable[[int], None] | None = None) -> None:
        """Count `nbytes` of memory from elsewhere as in use. Blocks while the budget is used up."""
        while True:
            with self._lock:
                if self._fits(nbytes, lending=on_wait is not None):
                    self._used += nbytes
                    return
            self._relieve()
            if on_wait is not None:
                on_wait(self._used)
            self._released.wait_for(
                lambda: self._fits(nbytes, lending=on_wait is not None), _POLL_INTERVAL_S
            )

    def unreserve(self, nbytes: int) -> None:
        """Undo `reserve`."""
        with self._lock:
            self._used -= nbytes
        self._released.notify_all()

    def set_used(self, used: int) -> None:
        """Correct the bytes in use, after an exception interrupted `acquire` or `release`."""
        with self._lock:
            self._used = used
        self._released.notify_all()

    def clear(self) -> None:
        """Free the memory that is kept for reuse."""
        with self._lock:
            self._free.clear()

    def _fits(self, nbytes: int, *, lending: bool) -> bool:
        if self._used + nbytes <= self._budget:
            return True
        return not self._used if lending else self._used <= self._lent_bytes()

    def _shrink(self, nbytes: int) -> None:
        """Drop free buffers of other sizes until a new one of `nbytes` fits the budget."""
        free_bytes = sum(size * len(buffers) for size, buffers in self._free.items())
        for size in list(self._free):
            while self._free[size] and self._used + free_bytes > self._budget:
                self._free[size].pop()
                free_bytes -= size


def _allocate(nbytes: int) -> mmap.mmap:
    """Return new page-aligned memory, in huge pages where available: they halve the cost of its first use."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, nbytes)
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # not supported by this kernel
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
