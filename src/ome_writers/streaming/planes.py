"""A colour frame is stored as planes side by side along the channel axis; any other frame is one plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.storage import Engine

__all__ = ["planes_of", "read_frame"]


def planes_of(
    frame: NDArray[np.generic], index: tuple[int, ...], plan: Plan
) -> Iterator[tuple[tuple[int, ...], NDArray[np.generic]]]:
    """Yield (storage index, plane of shape (y, x)) for each plane of the frame at `index`."""
    axis = plan.plane_axis
    if axis is None:
        yield index, frame
        return
    for sample in range(plan.planes):
        at = (*index[:axis], index[axis] + sample, *index[axis + 1 :])
        yield at, np.ascontiguousarray(frame[..., sample])


def read_frame(
    engine: Engine, image: int, index: tuple[int, ...], plan: Plan
) -> NDArray[np.generic]:
    """Return the frame at a storage index of an image, from memory or disk; zeros if unwritten."""
    axis = plan.plane_axis
    if axis is None:
        return engine.read(image, index)
    at = [(*index[:axis], index[axis] + s, *index[axis + 1 :]) for s in range(plan.planes)]
    return np.stack([engine.read(image, i) for i in at], axis=-1)
