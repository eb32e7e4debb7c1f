"""Write-through with back-off: `append` writes a frame to its file itself while that is the fastest way.

Writing a small frame costs less than copying it and handing it to a worker, and a large frame is better written by the
caller's thread than queued when the workers are behind. A slow disk must not block the camera, though: after a write
that was much slower than memory, write-through pauses for a while.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ome_writers.storage.direct.arrays import StoredArray

_MAX_LATENCY_S = 0.01  # beyond the expected time: a busy machine may suspend a thread that long
_EXPECTED_BYTES_PER_S = 500e6  # while the page cache has space
# The back-off doubles when a slow write soon follows another one.
_MIN_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 10.0


class WriteThrough:
    """Writes frames that are complete chunks while the disk is as fast as memory; for one thread at a time."""

    def __init__(self) -> None:
        # number of planes written, and their bytes
        self.planes = 0
        self.nbytes = 0
        # time (`time.perf_counter`) before which no frame is written, after a slow write
        self.retry_at = -_MAX_BACKOFF_S
        self._backoff_s = _MIN_BACKOFF_S
        self._current: StoredArray | None = None  # the only array with a current shard

    def write(
        self, stored: StoredArray, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> bool:
        """Write a frame; return False, without any effect, while the disk is slow."""
        start = perf_counter()
        if start < self.retry_at:
            return False
        if stored is not self._current:
            if self._current is not None:
                self._current.release_current_shard()
            self._current = stored
        if not frame.flags.c_contiguous:
            frame = np.ascontiguousarray(frame)
        nbytes = stored.write_frame(index, frame)
        seconds = perf_counter() - start
        if seconds > _MAX_LATENCY_S:
            self.record_latency(seconds, nbytes)
        self.planes += 1
        self.nbytes += stored.grid.frame_bytes
        return True

    def record_latency(self, seconds: float, nbytes: int) -> None:
        """Start or extend the back-off if a write of `nbytes` was slow."""
        if seconds > _MAX_LATENCY_S + nbytes / _EXPECTED_BYTES_PER_S:
            now = perf_counter()
            repeated = now < self.retry_at + _MAX_BACKOFF_S
            self._backoff_s = (
                min(2 * self._backoff_s, _MAX_BACKOFF_S) if repeated else _MIN_BACKOFF_S
            )
            self.retry_at = now + self._backoff_s
