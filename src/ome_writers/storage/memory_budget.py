"""Page-aligned memory for frames on their way to disk, within a budget and reused: no allocation per frame."""

from __future__ import annotations

import math
import mmap
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import FrameBufferError
from ome_writers.locks import Condition, new_lock

_POLL_INTERVAL_S = 0.02  # while memory is short; a release wakes waiting threads earlier
# Above this many bytes in use, `acquire` waits briefly for a buffer to be released: a reused buffer is warm in the
# cache, and new memory costs a page fault per page.
_REUSE_THRESHOLD_BYTES = 16 * 2**20
_REUSE_WAIT_S = 0.001
# processes may have some 65,000 mappings; smaller buffers are not aligned
_MIN_MAPPED_BYTES = 2**14
# After all borrowers have waited this long, an error is raised: until then, another thread may still return a buffer.
_DEADLOCK_TIMEOUT_S = 5.0


class MemoryBudget:
    """Hands out buffers and counts the bytes in use; thread-safe.

    A buffer is used by the engine (`acquire`), or lent to a caller that fills it (`lend`). Released buffers are kept
    for reuse.

    `max_bytes` bounds the bytes in use or kept for reuse; but if nothing but lent buffers is in use, one more
    buffer is always granted, however large, and kept for the next frame of that size. `free_memory` is called
    without any lock when the budget is used up. It should cause a buffer to be released soon without waiting for
    that, and return True to be called again at once if there is still too little memory.
    """

    def __init__(self, max_bytes: int, free_memory: Callable[[], bool]) -> None:
        self.used_bytes = 0
        self._max_bytes = max_bytes
        self._free_memory = free_memory
        self._free: dict[int, list[NDArray[np.uint8]]] = {}  # by size
        # by id of a lent frame: its buffer, and the thread that borrowed it
        self._lent: dict[int, tuple[NDArray[np.uint8], int]] = {}
        self._waiting: set[int] = set()  # threads that want to borrow another frame
        self._lock = new_lock()
        self._released = Condition()

    @property
    def lent_bytes(self) -> int:
        """Total size of the lent buffers; a part of `used_bytes`."""
        return sum(buffer.nbytes for buffer, _ in tuple(self._lent.values()))

    def prepare(self, nbytes: int, count: int) -> None:
        """Allocate up to `count` buffers of `nbytes` in advance."""
        for _ in range(min(count, (self._max_bytes - self.used_bytes) // nbytes)):
            buffer = _allocate(nbytes)
            buffer[:: mmap.PAGESIZE] = 0
            with self._lock:
                self._free.setdefault(nbytes, []).append(buffer)

    def acquire(self, nbytes: int) -> NDArray[np.uint8]:
        """Return a buffer of `nbytes` with undefined content. Blocks while the budget is used up."""
        return self._acquire(nbytes, None)

    def try_acquire(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return a buffer of `nbytes` with undefined content; None if the budget is used up."""
        with self._lock:
            if self.used_bytes + nbytes > self._max_bytes:
                return None
            self.used_bytes += nbytes
        return self._buffer(nbytes)

    def release(self, buffer: NDArray[np.uint8]) -> None:
        """Take back a buffer, of which the caller keeps no reference."""
        with self._lock:
            if buffer.nbytes <= self._max_bytes or not self._free.get(buffer.nbytes):
                self._free.setdefault(buffer.nbytes, []).append(buffer)
        self.unreserve(buffer.nbytes)

    def reserve(self, nbytes: int) -> None:
        """Count `nbytes` of memory from elsewhere as in use. Blocks while the budget is used up."""
        self._reserve(nbytes, None)

    def unreserve(self, nbytes: int) -> None:
        """Undo `reserve`."""
        with self._lock:
            self.used_bytes -= nbytes
        self._released.notify_all()

    def lend(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Return a frame for the caller to fill. Blocks while the budget is used up.

        Raises FrameBufferError if all memory is lent to threads that wait for more of it.
        """
        nbytes = math.prod(shape) * dtype.itemsize
        thread = threading.get_ident()
        try:
            buffer = self._acquire(nbytes, self._deadlock_detector(nbytes))
        finally:
            self._waiting.discard(thread)
        frame: NDArray[np.generic] = buffer.view(dtype).reshape(shape)
        self._lent[id(frame)] = (buffer, thread)
        return frame

    def end_loan(self, frame: NDArray[np.generic]) -> NDArray[np.uint8] | None:
        """Return the buffer of a lent frame, which the engine uses from now on; None if the frame is not lent."""
        if not self._lent:
            return None
        entry = self._lent.pop(id(frame), None)
        return None if entry is None else entry[0]

    def reclaim(self, frame: NDArray[np.generic]) -> None:
        """Release the buffer of a lent frame; do nothing if it is not lent any more."""
        buffer = self.end_loan(frame)
        if buffer is not None:
            self.release(buffer)

    def set_used(self, nbytes: int) -> None:
        """Correct the bytes in use besides lent buffers, after an exception interrupted one of these methods."""
        with self._lock:
            self.used_bytes = nbytes + self.lent_bytes
        self._released.notify_all()

    def wait_while(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `condition` is false; it is checked at each release. Return False after a timeout."""
        return self._released.wait_for(lambda: not condition(), timeout_s)

    def clear(self) -> None:
        """Free the memory that is kept for reuse."""
        with self._lock:
            self._free.clear()

    def _acquire(self, nbytes: int, on_wait: Callable[[], None] | None) -> NDArray[np.uint8]:
        if self.used_bytes + nbytes > _REUSE_THRESHOLD_BYTES and not self._free.get(nbytes):
            self._released.wait_for(lambda: bool(self._free.get(nbytes)), _REUSE_WAIT_S)
        self._reserve(nbytes, on_wait)
        return self._buffer(nbytes)

    def _reserve(self, nbytes: int, on_wait: Callable[[], None] | None) -> None:
        """Count `nbytes` as in use; call `on_wait`, which may raise, while this blocks. Without it, not to be lent."""
        while True:
            with self._lock:
                if self._fits(nbytes, lending=on_wait is not None):
                    self.used_bytes += nbytes
                    return
            again = self._free_memory()
            if on_wait is not None:
                on_wait()
            if not again:
                self._released.wait_for(
                    lambda: self._fits(nbytes, lending=on_wait is not None), _POLL_INTERVAL_S
                )

    def _fits(self, nbytes: int, *, lending: bool) -> bool:
        if self.used_bytes + nbytes <= self._max_bytes:
            return True
        return not self.used_bytes if lending else self.used_bytes <= self.lent_bytes

    def _buffer(self, nbytes: int) -> NDArray[np.uint8]:
        with self._lock:
            if self._free.get(nbytes):
                return self._free[nbytes].pop()
            self._drop_free(self._max_bytes - self.used_bytes)
        return _allocate(nbytes)

    def _drop_free(self, max_bytes: int) -> None:
        """Drop buffers that are kept for reuse, until they have at most `max_bytes`."""
        free_bytes = sum(size * len(buffers) for size, buffers in self._free.items())
        for size, buffers in self._free.items():
            while buffers and free_bytes > max_bytes:
                buffers.pop()
                free_bytes -= size

    def _deadlock_detector(self, nbytes: int) -> Callable[[], None]:
        """Return a function that raises if waiting for another `nbytes` to be lent to this thread cannot end."""
        thread = threading.get_ident()
        stuck_since: float | None = None

        def check() -> None:
            nonlocal stuck_since
            self._waiting.add(thread)
            used, lent = self.used_bytes, self.lent_bytes
            borrowers = {borrower for _, borrower in tuple(self._lent.values())}
            if used != lent or not borrowers <= self._waiting:
                stuck_since = None
            elif stuck_since is None:
                stuck_since = time.monotonic()
            elif time.monotonic() - stuck_since > _DEADLOCK_TIMEOUT_S:
                raise FrameBufferError(
                    f"{len(self._lent)} frame buffers are held ({lent} bytes), and buffer_bytes={self._max_bytes} has "
                    f"no memory for another one. Leave one of their `with` blocks first, or set buffer_bytes to at "
                    f"least {used + nbytes}."
                )

        return check


def _allocate(nbytes: int) -> NDArray[np.uint8]:
    """Return new page-aligned memory, in huge pages where available: they halve the cost of its first use."""
    if nbytes < _MIN_MAPPED_BYTES:
        return np.empty(nbytes, np.uint8)
    if sys.platform == "win32":
        return np.frombuffer(mmap.mmap(-1, nbytes), np.uint8)
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux" and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # not supported by this kernel
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)
