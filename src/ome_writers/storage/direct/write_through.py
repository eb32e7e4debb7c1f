"""Frames that go from the caller's memory to their file in `append` itself, where that is the quickest.

A small frame costs less to write than to copy and hand over, and a large one is better written by the caller's thread
than kept waiting when the others are behind. A disk that hesitates must not stop the camera, though: after a write
that was much slower than memory this is not tried for a while.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ome_writers.storage.background import Background
    from ome_writers.storage.direct.arrays import StoredArray

__all__ = ["WriteThrough"]

_BEHIND = 3  # blocks under way, from which on the caller's thread writes, too

_SLOW = 0.01  # seconds that a write may take besides: a busy machine lets a thread wait that long
_SPEED = 500e6  # bytes a second: what the system takes while it has room for them in memory
# seconds without a try after a slow write; twice as long after one that follows soon
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


class WriteThrough:
    """Writes frames that are whole chunks, as long as the disk is as fast as memory; for one thread at a time.

    Attributes
    ----------
    frames, nbytes
        How many frames were written so, and their bytes.
    again
        From when on (`time.perf_counter`) a frame may be written.
    """

    def __init__(self, background: Background) -> None:
        self.frames = 0
        self.nbytes = 0
        self.again = -_LONGEST_PAUSE
        self._background = background
        self._pause = _FIRST_PAUSE
        self._seated: StoredArray | None = None  # of all arrays the one that has a file at hand

    def write(
        self, stored: StoredArray, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> bool:
        """Write a frame; return False if that is not the quickest, and nothing was done."""
        if not stored.quick and (stored.serial or self._background.depth < _BEHIND):
            return False
        began = perf_counter()
        if began < self.again:
            return False
        if stored is not self._seated:
            if self._seated is not None:
                self._seated.rise()
            self._seated = stored
        if not frame.flags.c_contiguous:
            frame = np.ascontiguousarray(frame)
        written = stored.put(index, frame)
        seconds = perf_counter() - began
        if seconds > _SLOW:
            self.took(seconds, written)
        self.frames += 1
        self.nbytes += stored.grid.frame_bytes
        return True

    def took(self, seconds: float, nbytes: int) -> None:
        """Take note of a write that took its time."""
        if seconds > _SLOW + nbytes / _SPEED:
            now = perf_counter()
            soon = now < self.again + _LONGEST_PAUSE
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) if soon else _FIRST_PAUSE
            self.again = now + self._pause
