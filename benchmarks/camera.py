"""The simulated camera: Poisson frames in buffers that are overwritten after each append."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.workload import BYTES_PER_PIXEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workload import Workload

MEAN = 100
POISON = 0xFFFF
_RING_BYTES = 128 << 20
_MARKED_PIXELS = 31  # per frame, evenly spread; they contain the frame number


class Camera:
    """A ring of pregenerated noise frames.

    Before `append` the frame number is written to a few pixels of a buffer; after it they are overwritten with
    `POISON`. Both take about a microsecond together. A writer that reads a frame after `append` has returned stores
    pixels that the verification detects.
    """

    def __init__(self, workload: Workload, *, buffers: int | None = None, seed: int = 7) -> None:
        if buffers is None:
            buffers = min(64, max(4, _RING_BYTES // workload.frame_bytes))
        buffers = min(buffers, workload.frames)
        self.frames: list[NDArray[np.uint16]] = list(
            poisson((buffers, workload.height, workload.width), seed)
        )
        pixels = workload.height * workload.width
        step = max(1, pixels // _MARKED_PIXELS) | 1
        self.marks: list[NDArray[np.uint16]] = [frame.reshape(-1)[::step] for frame in self.frames]

    @property
    def nbytes(self) -> int:
        return sum(frame.nbytes for frame in self.frames)

    def expected(self, n: int) -> NDArray[np.uint16]:
        """Return the pixels of frame `n`, shape (y, x)."""
        ring = n % len(self.frames)
        self.marks[ring].fill(number(n))
        frame: NDArray[np.uint16] = self.frames[ring].copy()
        return frame


def number(n: int) -> int:
    """Return the value of the marked pixels of frame `n`; never `POISON`."""
    return n % 65_000


def poisson(shape: tuple[int, ...], seed: int) -> NDArray[np.uint16]:
    """Return Poisson noise of mean 100 by table lookup, exact to 1/65536 in probability."""
    top = 4 * MEAN
    log_p = [k * math.log(MEAN) - MEAN - math.lgamma(k + 1) for k in range(top)]
    cumulative = np.cumsum(np.exp(log_p))
    table = np.searchsorted(cumulative, (np.arange(65_536) + 0.5) / 65_536).astype(np.uint16)
    rng = np.random.default_rng(seed)
    noise = np.frombuffer(rng.bytes(math.prod(shape) * BYTES_PER_PIXEL), np.uint16)
    frames: NDArray[np.uint16] = table[noise].reshape(shape)
    return frames


def frame_metadata(n: int) -> dict[str, float | str]:
    """Return six values."""
    return {
        "delta_t": n * 0.01,
        "exposure_time": 0.01,
        "position_x": 100.0 + n % 7,
        "position_y": 200.0 - n % 5,
        "position_z": 0.25 * (n % 50),
        "camera_device": "Camera-1",
    }
