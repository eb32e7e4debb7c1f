"""Whether the disk is as fast as memory just now, so that a frame may go straight to it."""

from __future__ import annotations

import time

__all__ = ["Pace"]

_SLOW = 0.01  # seconds that a write may take besides: a busy machine lets a thread wait that long
_SPEED = 500e6  # bytes a second: what the system takes while it has room for them in memory
# seconds without a try after a slow write; twice as long after one that follows soon
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


class Pace:
    """Remembers how long writes took.

    Attributes
    ----------
    again
        From when on (`time.perf_counter`) the caller of `append` may be let to write by itself.
    """

    def __init__(self) -> None:
        self.again = -_LONGEST_PAUSE
        self._pause = _FIRST_PAUSE

    def took(self, seconds: float, nbytes: int) -> None:
        """Take note of a write."""
        if seconds > _SLOW + nbytes / _SPEED:
            now = time.perf_counter()
            soon = now < self.again + _LONGEST_PAUSE
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) if soon else _FIRST_PAUSE
            self.again = now + self._pause
