"""Split RGB frames into planes, and join them again: OME-Zarr stores one plane per sample along the channel axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Address, ImagePlan

if TYPE_CHECKING:
    from ome_writers.storage import Engine

    Plane = NDArray[np.generic]


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
