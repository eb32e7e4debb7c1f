"""`Source`: description of a dataset to convert, in terms of the settings to write it with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import COMPRESSIONS
from ome_writers.dataset import DatasetSpec
from ome_writers.formats import format_row
from ome_writers.routing import Address, Plan, Router
from ome_writers.settings import Dimension, Position
from ome_writers.untrusted import MAX_FRAMES, check_count

if TYPE_CHECKING:
    from ome_writers.views import StreamView


Indices = NDArray[np.int64]
"""Acquisition indices, shape (frames, axes without y and x)."""


@dataclass(frozen=True)
class Source:
    """A dataset to convert.

    Attributes
    ----------
    spec
        What the dataset contains. Each of its dimensions has the largest extent of all images.
    view
        The pixels, with the dimensions of `spec`.
    frame_shapes
        By image; a shape is (y, x) or (y, x, samples).
    indices
        Acquisition index of each existing frame, in the order in which frames are written.
    router
        Maps acquisition indices to addresses.
    plan
        The plan that it was written from; None if another program wrote it.
    name
        Name of a single image; empty for several images.
    camera_axis
        Index of the dimension of cameras, if each camera has its own images.
    frame_dimensions
        Dimensions y and x of each image, if their scales differ; otherwise empty.
    """

    spec: DatasetSpec
    view: StreamView
    frame_shapes: Sequence[tuple[int, ...]]
    indices: Indices
    router: Router
    plan: Plan | None
    name: str = ""
    camera_axis: int | None = None
    frame_dimensions: Sequence[tuple[Dimension, ...]] = ()

    @property
    def dtypes(self) -> list[str]:
        """Dtype of each image."""
        return [image.levels[0].dtype for image in self.spec.images]

    @property
    def compression(self) -> str | None:
        """Compression as in the settings; None for other codecs, and for formats without chunks."""
        found = self.spec.images[0].levels[0].compression
        known = format_row(self.spec.format).chunked and found in COMPRESSIONS
        return found if known else None

    @property
    def written(self) -> int | None:
        """Number of frames recorded by the writer; None if unknown."""
        return self.spec.frames_written if self.spec.status else None

    def images(self) -> NDArray[np.int64]:
        """Return the image number of each of `indices`."""
        return self.router.project(self.indices)[0]

    def address_of(self, index: Sequence[int]) -> Address:
        """Return the address of an acquisition index: of the first plane of an RGB frame in an OME-Zarr."""
        image, stored = self.router.address_of(index)
        return image, stored if self.plan is None else self.plan.images[image].plane(stored)

    def image_index(self, image: int) -> dict[int, int]:
        """Return the acquisition index of an image, by dimension.

        These are the dimensions of images: positions, cameras with their own images, and axes that the format does not
        have.
        """
        index = self.router.index_of((image, (0,) * self.router.rank)).values()
        axes = enumerate(zip(index, self.router.steps, strict=True))
        return {axis: i for axis, (i, step) in axes if step.axis is None}

    def frame_type(self, image: int) -> tuple[object, ...]:
        """Return frame shape, dtype, camera and pixel sizes of an image, which must be equal within a dataset."""
        dimensions = self.frame_dimensions[image] if self.frame_dimensions else ()
        sizes = [(dim.scale, dim.unit) for dim in dimensions]
        camera = "" if self.camera_axis is None else self.spec.images[image].camera
        return (self.frame_shapes[image], self.spec.images[image].levels[0].dtype, camera, *sizes)

    def frame_bytes(self) -> list[int]:
        """Return the size of each of `indices`."""
        sizes = [
            math.prod(shape) * np.dtype(dtype).itemsize
            for shape, dtype in zip(self.frame_shapes, self.dtypes, strict=True)
        ]
        return [sizes[image] for image in self.images().tolist()]

    def read(self, index: Sequence[int]) -> NDArray[np.generic]:
        """Return the frame at an acquisition index with shape and dtype of its image, without the padding of views."""
        image = self.address_of(index)[0]
        shape = self.frame_shapes[image]
        frame = self.view[tuple(index)][: shape[0], : shape[1]]
        if frame.ndim > len(shape):  # a grey image in a dataset with RGB images
            frame = frame[..., 0]
        return np.ascontiguousarray(frame, self.spec.images[image].levels[0].dtype)


def nested_loop_indices(counts: Sequence[int]) -> Indices:
    """Return the indices of nested loops, the last axis the fastest.

    Raises InvalidFileError if there are more than `MAX_FRAMES`.
    """
    check_count(math.prod(counts), "the number of frames to convert", MAX_FRAMES)
    grid: Indices = np.indices(tuple(counts), np.int64).reshape(len(counts), math.prod(counts)).T
    return grid


def select_images(
    source: Source, numbers: Sequence[int]
) -> tuple[tuple[Dimension, ...], Indices, Indices]:
    """Return dimensions, indices to read and indices to write of images of the same frame type.

    Positions and other indices of images are written from 0. Images of a single camera do not have a camera axis.
    """
    cameras = source.camera_axis
    read = source.indices[np.isin(source.images(), numbers)]
    write = read.copy()
    selected = [source.image_index(number) for number in numbers]
    dimensions = []
    for column, dim in enumerate(source.spec.dimensions[:-2]):
        kept = list(range(int(read[:, column].max(initial=0)) + 1))
        if column in selected[0]:
            kept = sorted({index[column] for index in selected})
            write[:, column] = np.searchsorted(kept, read[:, column])
        coords = dim.coords and [dim.coords[n] for n in kept]
        if column != cameras:
            dimensions.append(with_values(dim, count=len(kept), coords=coords))
    if cameras is not None:
        write = np.delete(write, cameras, axis=1)
        if source.spec.position_axis is None:  # name the image after its camera
            position = Position(name=source.spec.images[numbers[0]].camera)
            dimensions.insert(0, Dimension(name="p", type="position", coords=[position]))
            write = np.insert(write, 0, 0, axis=1)
    frame = source.spec.dimensions[-2:]
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
