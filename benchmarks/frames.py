"""The camera of the benchmark: Poisson frames in buffers that are overwritten after each append."""

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
_POOL_BYTES = 128 << 20
_MARKS = 31  # pixels of each frame that carry its number, spread over the frame


class Camera:
    """A ring of pregenerated noise frames, marked with the frame number while they are lent.

    A frame is *presented* by writing its number into a few pixels spread over one of the ring's
    buffers, and *withdrawn* by overwriting these pixels. Both together cost about a microsecond, so
    producing is all but excluded from every competitor's time, alike; and a writer that looks at
    a frame after `append` has returned stores pixels that the check finds.
    """

    def __init__(self, workload: Workload, *, buffers: int | None = None, seed: int = 7) -> None:
        if buffers is None:
            buffers = min(64, max(4, _POOL_BYTES // workload.frame_bytes))
        buffers = min(buffers, workload.frames)
        self.frames: list[NDArray[np.uint16]] = list(
            poisson((buffers, workload.height, workload.width), seed)
        )
        pixels = workload.height * workload.width
        step = max(1, pixels // _MARKS) | 1
        self.marks: list[NDArray[np.uint16]] = [frame.reshape(-1)[::step] for frame in self.frames]

    @property
    def nbytes(self) -> int:
        """Bytes of the ring."""
        return sum(frame.nbytes for frame in self.frames)

    def expected(self, n: int) -> NDArray[np.uint16]:
        """Frame `n` as it must be read back, shape (y, x)."""
        ring = n % len(self.frames)
        self.marks[ring].fill(number(n))
        frame: NDArray[np.uint16] = self.frames[ring].copy()
        return frame


def number(n: int) -> int:
    """Return what the marked pixels of frame `n` hold; never the poison."""
    return n % 65_000


def poisson(shape: tuple[int, ...], seed: int) -> NDArray[np.uint16]:
    """Return Poisson noise of mean 100, exact to 1/65536 in probability, at memory speed."""
    top = 4 * MEAN
    log_p = [k * math.log(MEAN) - MEAN - math.lgamma(k + 1) for k in range(top)]
    cumulative = np.cumsum(np.exp(log_p))
    table = np.searchsorted(cumulative, (np.arange(65_536) + 0.5) / 65_536).astype(np.uint16)
    rng = np.random.default_rng(seed)
    noise = np.frombuffer(rng.bytes(math.prod(shape) * BYTES_PER_PIXEL), np.uint16)
    frames: NDArray[np.uint16] = table[noise].reshape(shape)
    return frames


def record(n: int) -> dict[str, float | str]:
    """Return six metadata values of frame `n`."""
    return {
        "delta_t": n * 0.01,
        "exposure_time": 0.01,
        "position_x": 100.0 + n % 7,
        "position_y": 200.0 - n % 5,
        "position_z": 0.25 * (n % 50),
        "camera_device": "Camera-1",
    }
