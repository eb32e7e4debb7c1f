"""Sample the intensity range of the acquired data, so that viewers do not open a 12-bit image black."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Address, ImagePlan

_PIXELS_PER_PLANE = 4096


class DisplayRange:
    """Minimum and maximum per image and channel, of a subset of the pixels of each plane; see `storage.Stage`."""

    memory_bytes = 0

    def __init__(self, images: Sequence[ImagePlan]) -> None:
        # (image number, channel index) to (minimum, maximum)
        self.windows: dict[tuple[int, int], tuple[float, float]] = {}
        self._numbers = {image.first_array: image.number for image in images}
        dimensions = images[0].array.dimensions  # all images have the same axes
        self._channel_axis = next(
            (i for i, d in enumerate(dimensions) if d.type == "channel"), None
        )

    def __call__(
        self, address: Address, plane: NDArray[np.generic]
    ) -> tuple[tuple[Address, NDArray[np.generic]]]:
        """Return the plane as it is."""
        array, index = address
        step = max(1, math.isqrt(plane.shape[0] * plane.shape[1] // _PIXELS_PER_PLANE))
        pixels = plane[::step, ::step]
        if pixels.dtype.kind == "c":
            with np.errstate(over="ignore"):
                pixels = np.abs(pixels)
        elif pixels.dtype.kind == "b":
            pixels = pixels.view(np.uint8)
        if pixels.dtype.kind == "f":
            pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            low, high = float(pixels.min()), float(pixels.max())
            channel = 0 if self._channel_axis is None else index[self._channel_axis]
            key = (self._numbers[array], channel)
            earlier = self.windows.get(key, (low, high))
            self.windows[key] = (min(low, earlier[0]), max(high, earlier[1]))
        return ((address, plane),)
