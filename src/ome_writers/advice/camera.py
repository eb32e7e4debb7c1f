"""What a camera delivers: how large, how often, for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Camera"]


@dataclass(frozen=True)
class Camera:
    """Frames to be written.

    Attributes
    ----------
    height, width
        Pixels of a frame.
    dtype
        Name of the pixels' dtype.
    fps
        Frames a second.
    seconds
        How long it is to run; None when nobody knows.
    """

    height: int
    width: int
    dtype: str = "uint16"
    fps: float = 30.0
    seconds: float | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.height * self.width * np.dtype(self.dtype).itemsize

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.frame_bytes * self.fps

    @property
    def frames(self) -> int | None:
        """How many frames there will be."""
        return None if self.seconds is None else math.ceil(self.seconds * self.fps)

    def picture(self, number: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.generic]]:
        """Return a frame as a camera might deliver it: a background with shot noise, a few bright cells.

        It compresses about as well as a real one does, which zeros or noise alone would not.
        """
        random = np.random.default_rng(number)
        y, x = np.ogrid[: self.height, : self.width]
        light = 100 + 400 * np.exp(-(((y % 256) - 128) ** 2 + ((x % 256) - 128) ** 2) / 1500.0)
        noisy = light + np.sqrt(light) * random.standard_normal((self.height, self.width))
        dtype = np.dtype(self.dtype)
        if dtype.kind in "ui":
            noisy = np.clip(noisy, 0, np.iinfo(dtype).max)
        frame: np.ndarray[tuple[int, int], np.dtype[np.generic]] = noisy.astype(dtype)
        return frame
