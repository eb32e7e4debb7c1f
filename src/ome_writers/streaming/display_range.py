"""The range of the data that was seen, from a few frames, so that a 12-bit image does not open black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ome_writers.routing import Plan

__all__ = ["DisplayRangeSampler"]

_POINTS = 4096  # pixels looked at in one frame


class DisplayRangeSampler:
    """Smallest and largest value by image and channel.

    `due` is the number of the next frame to look at. The distance between two grows with the number of frames,
    so that a million frames are sampled some 100 times.
    """

    def __init__(self, plan: Plan) -> None:
        self.due = 0
        self.windows: dict[tuple[int, int], tuple[float, float]] = {}
        dimensions = plan.images[0].array.dimensions  # of all images alike, but for y and x
        self._axis = next((i for i, d in enumerate(dimensions) if d.type == "channel"), None)

    def look(
        self, number: int, image: int, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> None:
        """Take the range of frame `number` into account."""
        self.due = number + 1 + number // 8
        step = max(1, math.isqrt(frame.shape[0] * frame.shape[1] // _POINTS))
        points = frame[::step, ::step]
        if points.dtype.kind == "c":
            with np.errstate(over="ignore"):
                points = np.abs(points)
        elif points.dtype.kind == "b":
            points = points.view(np.uint8)
        if points.dtype.kind == "f":
            points = points[np.isfinite(points)]
        if not points.size:
            return
        low, high = float(points.min()), float(points.max())
        key = (image, 0 if self._axis is None else index[self._axis])
        seen = self.windows.get(key, (low, high))
        self.windows[key] = (min(low, seen[0]), max(high, seen[1]))
