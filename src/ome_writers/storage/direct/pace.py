"""Whether the disk is as fast as memory just now, so that a frame may go straight to it."""

from __future__ import annotations

import time

__all__ = ["Pace"]

_SLOW = 0.004  # seconds that a write may take besides
_SPEED = 500e6  # bytes a second: what the system takes while it has room for them in memory
_FIRST_PAUSE = 0.1  # seconds without a try after a slow write; twice as long after each further one
_LONGEST_PAUSE = 10.0


class Pace:
    """Remembers how long writes took."""

    def __init__(self) -> None:
        self._again = 0.0
        self._pause = _FIRST_PAUSE

    @property
    def quick(self) -> bool:
        """Whether the caller of `append` may be let to write by itself."""
        return time.perf_counter() >= self._again

    def took(self, seconds: float, nbytes: int) -> None:
        """Take note of a write."""
        if seconds > _SLOW + nbytes / _SPEED:
            self._again = time.perf_counter() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
