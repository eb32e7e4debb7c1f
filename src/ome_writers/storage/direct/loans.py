"""Memory of the engine that callers fill: who has it, and whether waiting for it can ever end."""

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

__all__ = ["Loans"]

# Seconds for which all borrowers wait before one is refused: another thread may still leave a block that they entered.
_DEADLOCK_S = 5.0


class Loans:
    """The frames that callers fill at this moment, each with its buffer and the thread that borrowed it.

    Parameters
    ----------
    budget
        `Options.buffer_bytes`, for the message of an error.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._loans: dict[int, tuple[NDArray[np.uint8], int]] = {}  # by id of the frame
        self._waiting: set[int] = set()  # threads that ask for another frame

    def __len__(self) -> int:
        return len(self._loans)

    @property
    def nbytes(self) -> int:
        """Bytes on loan."""
        return sum(buffer.nbytes for buffer, _ in tuple(self._loans.values()))

    def add(self, frame: NDArray[np.generic], buffer: NDArray[np.uint8]) -> None:
        """Take note that the caller fills `frame`, which lies in `buffer`."""
        self._loans[id(frame)] = (buffer, threading.get_ident())

    def pop(self, frame: NDArray[np.generic]) -> NDArray[np.uint8] | None:
        """End a loan and return its buffer; None if there is no such loan."""
        loan = self._loans.pop(id(frame), None)
        return None if loan is None else loan[0]

    @contextmanager
    def waiting(self, nbytes: int) -> Iterator[Callable[[int], None]]:
        """Yield what is called, with the bytes in use, while this thread waits for a loan of `nbytes`.

        Raises
        ------
        FrameBufferError
            If all memory is on loan to threads that wait for more of it.
        """
        thread = threading.get_ident()
        stuck_since: float | None = None

        def check(used: int) -> None:
            nonlocal stuck_since
            self._waiting.add(thread)
            borrowers = {borrower for _, borrower in tuple(self._loans.values())}
            if used != self.nbytes or not borrowers <= self._waiting:
                stuck_since = None
            elif stuck_since is None:
                stuck_since = time.monotonic()
            elif time.monotonic() - stuck_since > _DEADLOCK_S:
                raise FrameBufferError(
                    f"{len(self)} frame buffers are held ({self.nbytes} bytes), and buffer_bytes={self._budget} has no "
                    f"memory for another one. Leave one of their `with` blocks first, or set buffer_bytes to at least "
                    f"{used + nbytes}."
                )

        try:
            yield check
        finally:
            self._waiting.discard(thread)
