"""The camera whose frames are to be written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Size, rate and number of frames."""

    height: int  # of a frame, in pixels
    width: int
    dtype: str = "uint16"  # numpy name of the pixel type
    fps: float = 30.0
    seconds: float | None = None  # duration of the acquisition; None if unknown

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * np.dtype(self.dtype).itemsize

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.frame_bytes * self.fps

    @property
    def frames(self) -> int | None:
        """Number of frames; None if the duration is unknown."""
        return None if self.seconds is None else math.ceil(self.seconds * self.fps)

    def simulated_frame(self, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.generic]]:
        """Return a frame of bright cells on a background with shot noise, which compresses like a real one."""
        random = np.random.default_rng(seed)
        y, x = np.ogrid[: self.height, : self.width]
        light = 100 + 400 * np.exp(-(((y % 256) - 128) ** 2 + ((x % 256) - 128) ** 2) / 1500.0)
        noisy = light + np.sqrt(light) * random.standard_normal((self.height, self.width))
        dtype = np.dtype(self.dtype)
        if dtype.kind in "ui":
            noisy = np.clip(noisy, 0, np.iinfo(dtype).max)
        frame: np.ndarray[tuple[int, int], np.dtype[np.generic]] = noisy.astype(dtype)
        return frame
