"""Sample the intensity range of the acquired data, so that viewers do not open a 12-bit image black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ome_writers.routing import Plan

_PIXELS_PER_FRAME = 4096


class DisplayRangeSampler:
    """Minimum and maximum per image and channel."""

    def __init__(self, plan: Plan) -> None:
        # Number of the next frame to sample. The interval grows with the number of frames: a million frames are sampled
        # about 100 times.
        self.next_frame = 0
        # (image number, channel index) to (minimum, maximum)
        self.windows: dict[tuple[int, int], tuple[float, float]] = {}
        dimensions = plan.images[0].array.dimensions  # all images have the same axes
        self._channel_axis = next(
            (i for i, d in enumerate(dimensions) if d.type == "channel"), None
        )

    def sample(
        self, number: int, image: int, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> None:
        """Include the range of frame `number`, from a subset of its pixels."""
        self.next_frame = number + 1 + number // 8
        step = max(1, math.isqrt(frame.shape[0] * frame.shape[1] // _PIXELS_PER_FRAME))
        pixels = frame[::step, ::step]
        if pixels.dtype.kind == "c":
            with np.errstate(over="ignore"):
                pixels = np.abs(pixels)
        elif pixels.dtype.kind == "b":
            pixels = pixels.view(np.uint8)
        if pixels.dtype.kind == "f":
            pixels = pixels[np.isfinite(pixels)]
        if not pixels.size:
            return
        low, high = float(pixels.min()), float(pixels.max())
        key = (image, 0 if self._channel_axis is None else index[self._channel_axis])
        earlier = self.windows.get(key, (low, high))
        self.windows[key] = (min(low, earlier[0]), max(high, earlier[1]))
