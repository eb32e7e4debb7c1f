"""Frame buffers that callers are filling: which thread borrowed each, and whether waiting for one can ever end."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ome_writers.errors import FrameBufferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LentBuffers"]

# After all borrowers have waited this long, an error is raised: until then, another thread may still return a buffer.
_DEADLOCK_TIMEOUT_S = 5.0


class LentBuffers:
    """The frames that callers are filling, each with its buffer and the thread that borrowed it.

    Parameters
    ----------
    budget
        `Options.buffer_bytes`, for the error message.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._lent: dict[int, tuple[NDArray[np.uint8], int]] = {}  # by id of the frame
        self._waiting: set[int] = set()  # threads that want to borrow another frame

    def __len__(self) -> int:
        return len(self._lent)

    @property
    def nbytes(self) -> int:
        """Total size of the lent buffers."""
        return sum(buffer.nbytes for buffer, _ in tuple(self._lent.values()))

    def add(self, frame: NDArray[np.generic], buffer: NDArray[np.uint8]) -> None:
        """Register `frame`, a view of `buffer`, as lent to this thread."""
        self._lent[id(frame)] = (buffer, threading.get_ident())

    def pop(self, frame: NDArray[np.generic]) -> NDArray[np.uint8] | None:
        """Return the buffer of a lent frame, which is no longer lent; None if it was not."""
        entry = self._lent.pop(id(frame), None)
        return None if entry is None else entry[0]

    @contextmanager
    def detect_deadlock(self, nbytes: int) -> Iterator[Callable[[int], None]]:
        """Yield the callback for waiting threads, see `MemoryPool.acquire`, while this thread borrows `nbytes`.

        Raises
        ------
        FrameBufferError
            If all memory is lent to threads that wait for more of it.
        """
        thread = threading.get_ident()
        stuck_since: float | None = None

        def check(used: int) -> None:
            nonlocal stuck_since
            self._waiting.add(thread)
            borrowers = {borrower for _, borrower in tuple(self._lent.values())}
            if used != self.nbytes or not borrowers <= self._waiting:
                stuck_since = None
            elif stuck_since is None:
                stuck_since = time.monotonic()
            elif time.monotonic() - stuck_since > _DEADLOCK_TIMEOUT_S:
                raise FrameBufferError(
                    f"{len(self)} frame buffers are held ({self.nbytes} bytes), and buffer_bytes={self._budget} has "
                    f"no memory for another one. Leave one of their `with` blocks first, or set buffer_bytes to at "
                    f"least {used + nbytes}."
                )

        try:
            yield check
        finally:
            self._waiting.discard(thread)
