"""`Selection`: frames of an open dataset, in terms of the settings to write them with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers import DatasetSpec, Dimension, Position
from ome_writers.toolkit import (
    COMPRESSIONS,
    MAX_FRAMES,
    Address,
    camera_axis,
    check_count,
    format_row,
    split_suffix,
)

if TYPE_CHECKING:
    from ome_writers.toolkit import OpenDataset

Indices = NDArray[np.int64]
"""Acquisition indices, shape (frames, axes without y and x)."""


@dataclass(frozen=True)
class Selection:
    """Frames of a dataset, to convert or process.

    Attributes
    ----------
    dataset
        The dataset. Each of its dimensions has the largest extent of all images.
    images
        Sorted numbers of the images.
    indices
        Acquisition index of each existing frame of these images, in the order in which frames are written.
    """

    dataset: OpenDataset
    images: tuple[int, ...]
    indices: Indices

    @property
    def spec(self) -> DatasetSpec:
        """What the dataset contains."""
        return self.dataset.spec

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

    @property
    def name(self) -> str:
        """Name of a single image, unless it is that of its file or of its index along a further axis."""
        spec, plan = self.spec, self.dataset.plan
        if spec.position_axis is not None or len(spec.images) != 1:
            return ""
        name = spec.images[0].name
        if plan is not None and plan.images[0].name == name:
            return ""
        file = Path(spec.settings.output_path) if spec.settings else spec.path
        return "" if name in (file.name, split_suffix(file.name)[0]) else name

    @cached_property
    def camera_axis(self) -> int | None:
        """Index of the dimension of cameras, if each camera has its own images."""
        settings = self.spec.settings
        axis = settings and all(i.camera for i in self.spec.images) and camera_axis(settings)
        return settings.dimensions.index(axis) if settings and axis else None

    def dtype(self, image: int) -> str:
        """Return the dtype of an image."""
        return self.spec.images[image].levels[0].dtype

    def frame_dimensions(self, image: int) -> tuple[Dimension, Dimension]:
        """Return the dimensions y and x with the pixel size of an image."""
        spec, plan = self.spec, self.dataset.plan
        height, width = spec.dimensions[-2:]
        if plan is not None:
            if self.camera_axis is not None:
                height, width = plan.images[image].dimensions[-2:]
            return height, width
        found = spec.images[image]
        sizes = [(found.levels[0].scale[axis], found.axes[axis].unit) for axis in (-2, -1)]
        height, width = (
            dim
            if (dim.scale, dim.unit) == (scale, unit)
            else with_values(dim, scale=scale, unit=unit)
            for dim, (scale, unit) in zip((height, width), sizes, strict=True)
        )
        return height, width

    def image_numbers(self) -> NDArray[np.int64]:
        """Return the image number of each of `indices`."""
        return self.dataset.router.project(self.indices)[0]

    def address_of(self, index: Sequence[int]) -> Address:
        """Return the address of an acquisition index: of the first plane of an RGB frame in an OME-Zarr."""
        image, stored = self.dataset.router.address_of(index)
        plan = self.dataset.plan
        return image, stored if plan is None else plan.images[image].addressing.plane(stored)

    def frame_type(self, image: int) -> tuple[object, ...]:
        """Return frame shape, dtype, camera and pixel sizes of an image, which must be equal within a dataset."""
        sizes = [(dim.scale, dim.unit) for dim in self.frame_dimensions(image)]
        camera = "" if self.camera_axis is None else self.spec.images[image].camera
        return (self.dataset.frame_shape(image), self.dtype(image), camera, *sizes)

    def frame_bytes(self) -> list[int]:
        """Return the size of each of `indices`."""
        sizes = {
            image: math.prod(self.dataset.frame_shape(image)) * np.dtype(self.dtype(image)).itemsize
            for image in self.images
        }
        return [sizes[image] for image in self.image_numbers().tolist()]

    def read(self, index: Sequence[int]) -> NDArray[np.generic]:
        """Return the frame at an acquisition index with shape and dtype of its image."""
        image, stored = self.dataset.router.address_of(index)
        return np.ascontiguousarray(self.dataset.read(image, stored), self.dtype(image))

    def of_images(self, images: Sequence[int]) -> Selection:
        """Return the frames of some images."""
        inside = np.isin(self.image_numbers(), images)
        return Selection(self.dataset, tuple(images), self.indices[inside])

    def destination_indices(self) -> tuple[tuple[Dimension, ...], Indices]:
        """Return the dimensions of a dataset of these images, which are of one frame type, and its indices.

        Positions and other indices of images are written from 0. Images of a single camera do not have a camera axis.
        """
        spec, cameras = self.spec, self.camera_axis
        write = self.indices.copy()
        selected = [self._image_index(image) for image in self.images]
        dimensions: list[Dimension] = []
        for column, dim in enumerate(spec.dimensions[:-2]):
            kept = list(range(int(write[:, column].max(initial=0)) + 1))
            if column in selected[0]:
                kept = sorted({index[column] for index in selected})
                write[:, column] = np.searchsorted(kept, write[:, column])
            coords = dim.coords and [dim.coords[n] for n in kept]
            if column != cameras:
                dimensions.append(with_values(dim, count=len(kept), coords=coords))
        first = self.images[0]
        if cameras is not None:
            write = np.delete(write, cameras, axis=1)
            if spec.position_axis is None:  # name the image after its camera
                position = Position(name=spec.images[first].camera)
                dimensions.insert(0, Dimension(name="p", type="position", coords=[position]))
                write = np.insert(write, 0, 0, axis=1)
        shape = self.dataset.frame_shape(first)
        for dim, extent in zip(self.frame_dimensions(first), shape, strict=False):
            unchunked = dim.chunk_size is None or dim.chunk_size >= extent
            chunk = None if unchunked else dim.chunk_size
            dimensions.append(with_values(dim, count=extent, chunk_size=chunk))
        return tuple(dimensions), write

    def _image_index(self, image: int) -> dict[int, int]:
        """Return the acquisition index of an image, by dimension.

        These are the dimensions of images: positions, cameras with their own images, and axes that the format does not
        have.
        """
        router = self.dataset.router
        index = router.index_of((image, (0,) * router.rank)).values()
        axes = enumerate(zip(index, router.steps, strict=True))
        return {axis: i for axis, (i, step) in axes if step.axis is None}


def select_all(dataset: OpenDataset) -> Selection:
    """Return all frames inside the arrays of a dataset, in the order of the schedule if it is bounded.

    Datasets of other programs are read in the order of their dimensions.
    """
    spec, router, plan = dataset.spec, dataset.router, dataset.plan
    shapes = np.array([image.shape[:-2] for image in spec.images], np.int64)
    shapes = shapes.reshape(len(spec.images), -1)

    def inside(indices: Indices) -> Selection:
        images, stored = router.project(indices)
        within = stored < shapes[np.minimum(images, len(shapes) - 1)]
        return Selection(dataset, tuple(range(len(shapes))), indices[within.all(axis=1)])

    if plan is None:
        return inside(nested_loop_indices([count or 1 for count in router.counts]))
    if router.schedule is None or router.frames is None:
        counts = [_stored_extent(dataset, axis) for axis in range(len(router.axes))]
        return inside(nested_loop_indices(counts))
    check_count(router.frames, "the number of frames to convert", MAX_FRAMES)
    found = inside(router.acquired(np.arange(router.frames, dtype=np.int64)))
    # read an index that is scheduled twice only once
    first = np.unique(found.indices, axis=0, return_index=True)[1]
    return Selection(dataset, found.images, found.indices[np.sort(first)])


def _stored_extent(dataset: OpenDataset, axis: int) -> int:
    """Return the stored extent of an acquisition axis; of an axis of images the planned one."""
    router = dataset.router
    (stored, stride), count = router.steps[axis], router.counts[axis]
    if stored is None:
        return count or 1
    assert dataset.plan is not None
    images = zip(dataset.plan.images, dataset.spec.images, strict=True)
    frames = (plan.addressing.frames_along(stored, i.shape[stored]) for plan, i in images)
    extent = max(-(-n // stride) for n in frames)
    return max(1, extent if count is None else min(extent, count))


def nested_loop_indices(counts: Sequence[int]) -> Indices:
    """Return the indices of nested loops, the last axis the fastest.

    Raises InvalidFileError if there are more than `MAX_FRAMES`.
    """
    check_count(math.prod(counts), "the number of frames to convert", MAX_FRAMES)
    grid: Indices = np.indices(tuple(counts), np.int64).reshape(len(counts), math.prod(counts)).T
    return grid


def with_values(dim: Dimension, **values: Any) -> Dimension:
    """Return a validated copy of a dimension with some values replaced."""
    current = {name: getattr(dim, name) for name in type(dim).model_fields}
    return Dimension(**{**current, **values})
