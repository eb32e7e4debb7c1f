"""Stages in the thread of `append`: split RGB frames into planes, and sample the range of values for viewers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Address, ImagePlan
from ome_writers.storage import Engine

Plane: TypeAlias = NDArray[np.generic]

_PIXELS_PER_PLANE = 4096


class SplitSamples:
    """Yields one plane (y, x) per sample, from frames whose address has the number of an array; see `Stage`."""

    memory_bytes = 0

    def __init__(self, images: Sequence[ImagePlan]) -> None:
        self._images = {image.first_array: image for image in images}

    def __call__(self, address: Address, frame: Plane) -> Iterator[tuple[Address, Plane]]:
        array, index = address
        image = self._images[array]
        for sample in range(image.planes):
            yield (array, image.plane(index, sample)), np.ascontiguousarray(frame[..., sample])


def read_frame(
    engine: Engine, image: ImagePlan, index: tuple[int, ...], level: int
) -> NDArray[np.generic]:
    """Return the frame at `index` of a level, from memory or disk; zeros if unwritten."""
    array = image.first_array + level
    if image.planes == 1:
        return engine.read(array, index)
    planes = [engine.read(array, image.plane(index, s)) for s in range(image.planes)]
    return np.stack(planes, axis=-1)


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

    def __call__(self, address: Address, plane: Plane) -> tuple[tuple[Address, Plane]]:
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
