"""Split RGB frames into planes, and join them again: OME-Zarr stores one plane per sample along the channel axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ome_writers.routing import ImagePlan
    from ome_writers.storage import Engine


def planes_of(
    frame: NDArray[np.generic], index: tuple[int, ...], image: ImagePlan
) -> Iterator[tuple[tuple[int, ...], NDArray[np.generic]]]:
    """Yield (storage index, plane of shape (y, x)) for each plane of the frame at `index`."""
    if image.planes == 1:
        yield index, frame
        return
    for sample in range(image.planes):
        yield image.plane(index, sample), np.ascontiguousarray(frame[..., sample])


def read_frame(
    engine: Engine, image: ImagePlan, index: tuple[int, ...], array: int
) -> NDArray[np.generic]:
    """Return the frame at `index` of an array of an image, from memory or disk; zeros if unwritten."""
    if image.planes == 1:
        return engine.read(array, index)
    planes = [engine.read(array, image.plane(index, s)) for s in range(image.planes)]
    return np.stack(planes, axis=-1)
