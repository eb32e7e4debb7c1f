"""The plan of an acquisition, resolved once from the settings. Frozen; not validated again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ome_writers.routing.router import Router
from ome_writers.settings import AcquisitionSettings, Dimension, Position, Pyramid


@dataclass(frozen=True)
class ArrayPlan:
    """One array on disk, in storage order."""

    dimensions: tuple[Dimension, ...]  # the axes in storage order; the last two are y and x
    shape: tuple[int, ...]  # planned extent of each axis, in pixels; the unbounded axis starts at 1
    growing: int | None  # the unbounded axis, or None
    dtype: np.dtype[np.generic]  # little-endian dtype of a sample
    chunks: tuple[int, ...]  # shape of a chunk, in pixels
    # shape of a shard, in pixels (a multiple of `chunks`), or None without sharding
    shards: tuple[int, ...] | None
    compression: str  # `"none"` or the codec's name, as in the settings
    samples: int = 1  # interleaved samples per pixel: 3 for RGB in OME-TIFF, otherwise 1

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(y, x) in pixels."""
        return self.shape[-2], self.shape[-1]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one stored plane."""
        return math.prod(self.frame_shape) * self.samples * self.dtype.itemsize

    @property
    def index_shape(self) -> tuple[int, ...]:
        """`shape` without y and x."""
        return self.shape[:-2]


@dataclass(frozen=True)
class LevelPlan:
    """A resolution level below the full one."""

    array: ArrayPlan  # its array, along the same axes as that of full resolution
    # by storage axis: the distance of its samples, in samples of full resolution
    factors: tuple[int, ...]
    # by storage axis: the coordinate of its first sample, in samples of full resolution
    offsets: tuple[float, ...]
    pyramid: Pyramid  # how it is computed

    @property
    def pairs_planes(self) -> bool:
        """Whether it has fewer planes than full resolution."""
        return any(factor > 1 for factor in self.factors[:-2])

    def shape(self, full: Sequence[int]) -> tuple[int, ...]:
        """Return its shape, if full resolution has the shape `full`."""
        return tuple(-(-n // f) for n, f in zip(full, self.factors, strict=True))

    def scale(self, full: Sequence[float]) -> list[float]:
        """Return the distance of its samples, if that of full resolution is `full`."""
        return [s * f for s, f in zip(full, self.factors, strict=True)]

    def translation(self, full: Sequence[float], scale: Sequence[float]) -> list[float]:
        """Return the coordinate of its first sample, from translation and scale of full resolution."""
        return [t + s * o for t, s, o in zip(full, scale, self.offsets, strict=True)]


@dataclass(frozen=True)
class ImagePlan:
    """One image: an Image of OME-XML, a multiscale of NGFF."""

    number: int
    name: str
    position: Position | None
    array: ArrayPlan
    # The storage axis that acquisition advances slowest; incomplete acquisitions are trimmed along it. None if the
    # image is a single plane.
    slow_axis: int | None
    camera: str = ""  # name of the camera, if each camera has separate images
    # number of consecutive planes per frame along the storage axis `plane_axis`: 3 for RGB in OME-Zarr, where samples
    # become channels, otherwise 1
    planes: int = 1
    plane_axis: int | None = None
    levels: tuple[LevelPlan, ...] = ()  # the resolution levels below `array`, largest first
    first_array: int = 0  # number of `array` for an engine; those of the levels follow

    @property
    def arrays(self) -> tuple[ArrayPlan, ...]:
        """The arrays of all levels, full resolution first."""
        return self.array, *(level.array for level in self.levels)

    def array_shapes(self, full: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes of all levels, if full resolution has the shape `full`."""
        return [full, *(level.shape(full) for level in self.levels)]

    @cached_property
    def frame_shape(self) -> tuple[int, ...]:
        """(y, x), or (y, x, samples)."""
        samples = self.array.samples * self.planes
        return self.array.frame_shape if samples == 1 else (*self.array.frame_shape, samples)

    def plane(self, index: tuple[int, ...], sample: int = 0) -> tuple[int, ...]:
        """Return the storage index of a plane of the frame at `index`."""
        axis = self.plane_axis
        if axis is None:
            return index
        return (*index[:axis], index[axis] * self.planes + sample, *index[axis + 1 :])

    def frames_along(self, axis: int, extent: int) -> int:
        """Return the number of frames in the first `extent` planes along a storage axis."""
        return -(-extent // self.planes) if axis == self.plane_axis else extent

    def planes_along(self, axis: int, frames: int) -> int:
        """Return the number of planes of `frames` frames along a storage axis."""
        return frames * self.planes if axis == self.plane_axis else frames


@dataclass(frozen=True)
class Plan:
    """The images of an acquisition, and the router from frame number to address.

    `frames` is the total number of frames, `distinct_frames` how many of them do not replace an earlier one. Both are
    None if the acquisition is unbounded.
    """

    settings: AcquisitionSettings
    images: tuple[ImagePlan, ...]
    router: Router
    frames: int | None

    @property
    def distinct_frames(self) -> int | None:
        return None if self.frames is None else self.router.count_distinct(self.frames)

    def has_arrays_of(self, other: Plan) -> bool:
        """Return whether another plan stores every frame at the same index of the same array; names may differ."""
        mine, theirs = ([_storage_properties(i) for i in plan.images] for plan in (self, other))
        return mine == theirs and self.router == other.router

    @cached_property
    def frame_shape(self) -> tuple[int, ...]:
        """The smallest shape that holds a frame of any image: (y, x), or (y, x, samples)."""
        shapes = {image.frame_shape for image in self.images}
        height, width = (max(shape[i] for shape in shapes) for i in (0, 1))
        samples = max(shape[2:] for shape in shapes)
        return (height, width, *samples)

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """The smallest dtype that holds the pixels of every image, little-endian."""
        dtype: np.dtype[np.generic] = np.result_type(*{i.array.dtype for i in self.images})
        little_endian: np.dtype[np.generic] = dtype.newbyteorder("<")
        return little_endian


def _storage_properties(image: ImagePlan) -> tuple[object, ...]:
    """Return what an image's pixels depend on."""
    array = image.array
    form = (array.shape, array.growing, array.dtype, array.chunks, array.shards, array.compression)
    return (*form, array.samples, image.planes, image.plane_axis, image.slow_axis)


def arrival_order(plan: Plan, image: ImagePlan) -> tuple[int, ...] | None:
    """Return the index axes of an image's array in the order of nested loops, slowest first.

    For engines that only write sequentially. Axes of extent 1 keep their storage index where possible. None if planes
    do not arrive in nested loops: with a schedule, or if two acquisition axes interleave in one stored axis (two
    cameras, each going through all channels).
    """
    if plan.router.schedule is not None:
        return None
    loops = [
        (step.axis, image.planes_along(step.axis, step.stride), count)
        for step, count in zip(plan.router.steps, plan.router.counts, strict=True)
        if step.axis is not None and count != 1
    ]
    if image.plane_axis is not None:
        loops.append((image.plane_axis, 1, image.planes))
    order: list[int] = []
    for i, (axis, stride, count) in enumerate(loops):
        if order and order[-1] == axis:
            if loops[i - 1][1] != stride * (count or 1):
                return None
        elif axis in order:
            return None
        else:
            order.append(axis)
    for axis in range(plan.router.rank):
        if axis not in order:
            order.insert(axis, axis)
    return tuple(order)
