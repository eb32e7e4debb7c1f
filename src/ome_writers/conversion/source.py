"""A dataset as it must be described to be written again: settings' words, and where each frame is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.settings import Dimension

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.settings import Plate
    from ome_writers.views import StreamView

    Rows = NDArray[np.int64]
    """Acquisition indices, shape (frames, axes without y and x)."""
    Place = tuple[int, tuple[int, ...]]
    """An image, and a storage index in it."""

__all__ = ["Source", "changed", "existing", "frame_at", "loops", "selected"]


@dataclass(frozen=True)
class Source:
    """What there is to convert.

    Attributes
    ----------
    path
        Where it lies.
    format
        ``"ome-zarr"`` or ``"ome-tiff"``.
    dimensions
        In acquisition order, each as long as in its longest image; y and x are the last.
    dtypes, frame_shapes
        Of each image; (y, x), and samples where there are several.
    view
        The pixels, along these dimensions; those of one place may be missing in it.
    rows
        Acquisition index of each frame that there is, in the order in which they are to be written.
    place
        Acquisition index to image and storage index, as the frames' metadata name them.
    plate
        The plate that the positions are wells of.
    storage_order
        As settings call it.
    written
        How many frames its writer counted; None where nobody said.
    status
        What its writer said of it.
    compression
        As settings call it; None where it has none, or one that they have no word for.
    metadata
        What is said of the whole acquisition, by namespace.
    name
        What its only image is called; "" where there are several.
    """

    path: Path
    format: str
    dimensions: tuple[Dimension, ...]
    dtypes: Sequence[str]
    frame_shapes: Sequence[tuple[int, ...]]
    view: StreamView
    rows: Rows
    place: Callable[[Sequence[int]], Place]
    plate: Plate | None = None
    storage_order: str | list[str] = "ome"
    written: int | None = None
    status: str | None = None
    compression: str | None = None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""

    @property
    def position_axis(self) -> int | None:
        """Which of the dimensions is that of the images; None for one image without a position."""
        return next((i for i, d in enumerate(self.dimensions) if d.type == "position"), None)

    def image(self, index: Sequence[int]) -> int:
        """Return the number of the image that an acquisition index leads to."""
        axis = self.position_axis
        return 0 if axis is None else int(index[axis])

    def read(self, index: Sequence[int]) -> NDArray[np.generic]:
        """Return the frame at an acquisition index."""
        height, width = self.frame_shapes[self.image(index)][:2]
        frame = frame_at(self.view, self.dimensions, index)
        return np.ascontiguousarray(frame[:height, :width])


def frame_at(
    view: StreamView, dimensions: Sequence[Dimension], index: Sequence[int]
) -> NDArray[np.generic]:
    """Return the frame of a view at an index along `dimensions`, of which the view may lack some of one place."""
    names = ("p" if dim.type == "position" else dim.name for dim in dimensions)
    at = dict(zip(names, index, strict=False))
    return view[tuple(at[name] for name in view.dims if name in at)]


def loops(counts: Sequence[int]) -> Rows:
    """Return the indices of nested loops, the last axis the fastest."""
    grid: Rows = np.indices(tuple(counts), np.int64).reshape(len(counts), math.prod(counts)).T
    return grid


def existing(names: Sequence[str], sizes: Sequence[Mapping[str, int]]) -> Rows:
    """Return the indices of all frames that images have, along axes of which ``p`` is that of the images.

    `sizes` are the extents of each image, by axis.
    """
    hull = {name: max(size.get(name, 1) for size in sizes) for name in names}
    rows = loops([len(sizes) if name == "p" else hull[name] for name in names])
    there = np.ones(len(rows), bool)
    image = rows[:, names.index("p")] if "p" in names else np.zeros(len(rows), np.int64)
    for column, name in enumerate(names):
        if name != "p":
            there &= rows[:, column] < np.array([size.get(name, 1) for size in sizes])[image]
    return rows[there]


def selected(source: Source, numbers: Sequence[int]) -> tuple[tuple[Dimension, ...], Rows, Rows]:
    """Return what some images have: dimensions, frames as they are read, and as they are written.

    Read, the position is the image's number; written, it is its place among `numbers`.
    """
    axis = source.position_axis
    images = np.zeros(len(source.rows), np.int64) if axis is None else source.rows[:, axis]
    read = source.rows[np.isin(images, numbers)]
    write = read.copy()
    if axis is not None:
        write[:, axis] = np.searchsorted(numbers, read[:, axis])
    dimensions = []
    for column, dim in enumerate(source.dimensions[:-2]):
        count = int(write[:, column].max(initial=0)) + 1
        coords = dim.coords
        if column == axis:
            count, coords = len(numbers), [(coords or [])[n] for n in numbers]
        dimensions.append(changed(dim, count=count, coords=coords and coords[:count]))
    extents = source.frame_shapes[numbers[0]]
    for dim, extent in zip(source.dimensions[-2:], extents, strict=False):
        whole = dim.chunk_size is None or dim.chunk_size >= extent
        dimensions.append(changed(dim, count=extent, chunk_size=None if whole else dim.chunk_size))
    return tuple(dimensions), read, write


def changed(dim: Dimension, **values: Any) -> Dimension:
    """Return a dimension with other values."""
    given = {name: getattr(dim, name) for name in type(dim).model_fields}
    return Dimension(**{**given, **values})
