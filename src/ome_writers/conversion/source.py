"""`Source`: description of a dataset to convert, in terms of the settings to write it with."""

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

    Indices = NDArray[np.int64]
    """Acquisition indices, shape (frames, axes without y and x)."""
    Address = tuple[int, tuple[int, ...]]
    """Image number and storage index."""

__all__ = [
    "Source",
    "frame_at",
    "frame_indices",
    "nested_loop_indices",
    "select_images",
    "with_values",
]


@dataclass(frozen=True)
class Source:
    """A dataset to convert.

    Attributes
    ----------
    path
        Path of the dataset.
    format
        ``"ome-zarr"`` or ``"ome-tiff"``.
    dimensions
        Dimensions in acquisition order, with y and x last; each has the largest extent of all images.
    dtypes, frame_shapes
        By image; a shape is (y, x) or (y, x, samples).
    view
        The pixels. The view may lack dimensions of extent 1.
    indices
        Acquisition index of each existing frame, in the order in which frames are written.
    address_of
        Function that maps an acquisition index to the address used in frame metadata.
    plate
        Plate of the positions.
    storage_order, compression
        Values of the settings. `compression` is None for codecs that the settings do not support.
    written, status
        Number of frames and status recorded by the writer; None if unknown.
    metadata
        Global metadata by namespace.
    name
        Name of a single image; empty for several images.
    cameras
        Camera of each image, if each camera has its own images; otherwise empty.
    camera_axis
        Index of the dimension of these cameras.
    frame_dimensions
        Dimensions y and x of each image, if their scales differ; otherwise empty.
    """

    path: Path
    format: str
    dimensions: tuple[Dimension, ...]
    dtypes: Sequence[str]
    frame_shapes: Sequence[tuple[int, ...]]
    view: StreamView
    indices: Indices
    address_of: Callable[[Sequence[int]], Address]
    plate: Plate | None = None
    storage_order: str | list[str] = "ome"
    written: int | None = None
    status: str | None = None
    compression: str | None = None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""
    cameras: Sequence[str] = ()
    camera_axis: int | None = None
    frame_dimensions: Sequence[tuple[Dimension, ...]] = ()

    @property
    def position_axis(self) -> int | None:
        """Index of the position dimension; None for a single image without a position."""
        return next((i for i, d in enumerate(self.dimensions) if d.type == "position"), None)

    def images(self) -> NDArray[np.int64]:
        """Return the image number of each of `indices`."""
        axis = self.position_axis
        if self.camera_axis is not None:
            return np.array([self.address_of(i)[0] for i in self.indices.tolist()], np.int64)
        return np.zeros(len(self.indices), np.int64) if axis is None else self.indices[:, axis]

    def frame_type(self, image: int) -> tuple[object, ...]:
        """Return frame shape, dtype, camera and pixel sizes of an image, which must be equal within a dataset."""
        dimensions = self.frame_dimensions[image] if self.frame_dimensions else ()
        sizes = [(dim.scale, dim.unit) for dim in dimensions]
        camera = self.cameras[image] if self.cameras else ""
        return (self.frame_shapes[image], self.dtypes[image], camera, *sizes)

    def read(self, index: Sequence[int]) -> NDArray[np.generic]:
        """Return the frame at an acquisition index with shape and dtype of its image, without the padding of views."""
        image = self.address_of(index)[0]
        shape = self.frame_shapes[image]
        frame = frame_at(self.view, self.dimensions, index)[: shape[0], : shape[1]]
        if frame.ndim > len(shape):  # a grey image in a dataset with RGB images
            frame = frame[..., 0]
        return np.ascontiguousarray(frame, self.dtypes[image])


def frame_at(
    view: StreamView, dimensions: Sequence[Dimension], index: Sequence[int]
) -> NDArray[np.generic]:
    """Return the frame of a view at an index along `dimensions`. The view may lack dimensions of extent 1."""
    names = ("p" if dim.type == "position" else dim.name for dim in dimensions)
    by_name = dict(zip(names, index, strict=False))
    return view[tuple(by_name[name] for name in view.dims if name in by_name)]


def nested_loop_indices(counts: Sequence[int]) -> Indices:
    """Return the indices of nested loops, the last axis the fastest.

    Raises
    ------
    InvalidFileError
        If there are more than `MAX_FRAMES`.
    """
    check_count(math.prod(counts), "the number of frames to convert", MAX_FRAMES)
    grid: Indices = np.indices(tuple(counts), np.int64).reshape(len(counts), math.prod(counts)).T
    return grid


def frame_indices(names: Sequence[str], sizes: Sequence[Mapping[str, int]]) -> Indices:
    """Return the indices of all frames inside their image, along the axes `names`, of which ``p`` is the image axis.

    `sizes` are the extents of each image by axis.
    """
    largest = {name: max(size.get(name, 1) for size in sizes) for name in names}
    indices = nested_loop_indices([len(sizes) if n == "p" else largest[n] for n in names])
    inside = np.ones(len(indices), bool)
    image = indices[:, names.index("p")] if "p" in names else np.zeros(len(indices), np.int64)
    for column, name in enumerate(names):
        if name != "p":
            inside &= indices[:, column] < np.array([size.get(name, 1) for size in sizes])[image]
    return indices[inside]


def select_images(
    source: Source, numbers: Sequence[int]
) -> tuple[tuple[Dimension, ...], Indices, Indices]:
    """Return dimensions, indices to read and indices to write of images of the same frame type.

    Positions to write are numbered from 0. Images of a single camera do not have a camera axis.
    """
    axis, cameras = source.position_axis, source.camera_axis
    read = source.indices[np.isin(source.images(), numbers)]
    write = read.copy()
    positions = list(numbers)
    if axis is not None:
        positions = positions if cameras is None else np.unique(read[:, axis]).tolist()
        write[:, axis] = np.searchsorted(positions, read[:, axis])
    dimensions = []
    for column, dim in enumerate(source.dimensions[:-2]):
        count = int(write[:, column].max(initial=0)) + 1
        coords = dim.coords
        if column == axis:
            count, coords = len(positions), [(coords or [])[n] for n in positions]
        if column != cameras:
            dimensions.append(with_values(dim, count=count, coords=coords and coords[:count]))
    if cameras is not None:
        write = np.delete(write, cameras, axis=1)
        if axis is None:  # name the image after its camera
            position = Position(name=source.cameras[numbers[0]])
            dimensions.insert(0, Dimension(name="p", type="position", coords=[position]))
            write = np.insert(write, 0, 0, axis=1)
    frame = source.dimensions[-2:]
    if source.frame_dimensions:
        frame = source.frame_dimensions[numbers[0]]
    for dim, extent in zip(frame, source.frame_shapes[numbers[0]], strict=False):
        unchunked = dim.chunk_size is None or dim.chunk_size >= extent
        chunk = None if unchunked else dim.chunk_size
        dimensions.append(with_values(dim, count=extent, chunk_size=chunk))
    return tuple(dimensions), read, write


def with_values(dim: Dimension, **values: Any) -> Dimension:
    """Return a validated copy of a dimension with some values replaced."""
    current = {name: getattr(dim, name) for name in type(dim).model_fields}
    return Dimension(**{**current, **values})
