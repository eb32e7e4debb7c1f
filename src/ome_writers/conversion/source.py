"""A dataset as it must be described to be written again: settings' words, and where each frame is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.settings import Dimension, Position
from ome_writers.untrusted import MAX_FRAMES, check_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.settings import Plate
    from ome_writers.views import StreamView

    Rows = NDArray[np.int64]
    """Acquisition indices, shape (frames, axes without y and x)."""
    Address = tuple[int, tuple[int, ...]]
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
    cameras
        The camera of each image, where each camera has images of its own; else none.
    camera_axis
        Which of the dimensions is that of these cameras.
    pixels
        The axes y and x of each image, where they differ in scale; else none.
    """

    path: Path
    format: str
    dimensions: tuple[Dimension, ...]
    dtypes: Sequence[str]
    frame_shapes: Sequence[tuple[int, ...]]
    view: StreamView
    rows: Rows
    place: Callable[[Sequence[int]], Address]
    plate: Plate | None = None
    storage_order: str | list[str] = "ome"
    written: int | None = None
    status: str | None = None
    compression: str | None = None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""
    cameras: Sequence[str] = ()
    camera_axis: int | None = None
    pixels: Sequence[tuple[Dimension, ...]] = ()

    @property
    def position_axis(self) -> int | None:
        """Which of the dimensions is that of the images; None for one image without a position."""
        return next((i for i, d in enumerate(self.dimensions) if d.type == "position"), None)

    def images(self) -> NDArray[np.int64]:
        """Return the number of the image that each of `rows` leads to."""
        axis = self.position_axis
        if self.camera_axis is not None:
            return np.array([self.place(row)[0] for row in self.rows.tolist()], np.int64)
        return np.zeros(len(self.rows), np.int64) if axis is None else self.rows[:, axis]

    def kind(self, image: int) -> tuple[object, ...]:
        """Return what the frames of an image have in common; images of one kind fit into one dataset."""
        sizes = [(dim.scale, dim.unit) for dim in (self.pixels[image] if self.pixels else ())]
        camera = self.cameras[image] if self.cameras else ""
        return (self.frame_shapes[image], self.dtypes[image], camera, *sizes)

    def read(self, index: Sequence[int]) -> NDArray[np.generic]:
        """Return the frame at an acquisition index, as its image has it: a view is as large as its largest frames."""
        image = self.place(index)[0]
        shape = self.frame_shapes[image]
        frame = frame_at(self.view, self.dimensions, index)[: shape[0], : shape[1]]
        if frame.ndim > len(shape):  # grey, beside images with colours
            frame = frame[..., 0]
        return np.ascontiguousarray(frame, self.dtypes[image])


def frame_at(
    view: StreamView, dimensions: Sequence[Dimension], index: Sequence[int]
) -> NDArray[np.generic]:
    """Return the frame of a view at an index along `dimensions`, of which the view may lack some of one place."""
    names = ("p" if dim.type == "position" else dim.name for dim in dimensions)
    at = dict(zip(names, index, strict=False))
    return view[tuple(at[name] for name in view.dims if name in at)]


def loops(counts: Sequence[int]) -> Rows:
    """Return the indices of nested loops, the last axis the fastest.

    Raises
    ------
    InvalidFileError
        If there are more than can be listed.
    """
    check_count(math.prod(counts), "the number of frames to convert", MAX_FRAMES)
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
    """Return what some images of one kind have: dimensions, frames as they are read, and as they are written.

    Read, the position is the image's number; written, it is its place among `numbers`. Images of one camera have no
    axis of cameras.
    """
    axis, cameras = source.position_axis, source.camera_axis
    read = source.rows[np.isin(source.images(), numbers)]
    write = read.copy()
    places = list(numbers)
    if axis is not None:
        places = places if cameras is None else np.unique(read[:, axis]).tolist()
        write[:, axis] = np.searchsorted(places, read[:, axis])
    dimensions = []
    for column, dim in enumerate(source.dimensions[:-2]):
        count = int(write[:, column].max(initial=0)) + 1
        coords = dim.coords
        if column == axis:
            count, coords = len(places), [(coords or [])[n] for n in places]
        if column != cameras:
            dimensions.append(changed(dim, count=count, coords=coords and coords[:count]))
    if cameras is not None:
        write = np.delete(write, cameras, axis=1)
        if axis is None:  # the image keeps the name of its camera
            called = [Position(name=source.cameras[numbers[0]])]
            dimensions.insert(0, Dimension(name="p", type="position", coords=called))
            write = np.insert(write, 0, 0, axis=1)
    pixels = source.pixels[numbers[0]] if source.pixels else source.dimensions[-2:]
    for dim, extent in zip(pixels, source.frame_shapes[numbers[0]], strict=False):
        whole = dim.chunk_size is None or dim.chunk_size >= extent
        chunk = None if whole else dim.chunk_size
        dimensions.append(changed(dim, count=extent, chunk_size=chunk))
    return tuple(dimensions), read, write


def changed(dim: Dimension, **values: Any) -> Dimension:
    """Return a dimension with other values."""
    given = {name: getattr(dim, name) for name in type(dim).model_fields}
    return Dimension(**{**given, **values})
