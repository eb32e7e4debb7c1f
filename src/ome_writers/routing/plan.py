"""The plan: settings resolved, once, into what will happen.

Everything here is frozen. Nothing is validated again behind this door.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ome_writers.routing.router import Router
    from ome_writers.settings import AcquisitionSettings, Dimension, Position

__all__ = ["ArrayPlan", "ImagePlan", "Plan"]


@dataclass(frozen=True)
class ArrayPlan:
    """One array on disk, in storage order.

    Attributes
    ----------
    dimensions
        The axes as they are stored; the last two are y and x.
    shape
        Planned extent of each axis, in pixels; the growing axis starts at 1.
    growing
        The axis that has no planned end, or None.
    dtype
        Little-endian dtype of a sample.
    chunks
        Shape of a chunk, in pixels.
    shards
        Shape of a shard, in pixels (a multiple of `chunks`), or None when chunks are files.
    compression
        ``"none"`` or the codec's name, as in the settings.
    samples
        Samples per pixel that are stored interleaved (3 for RGB in OME-TIFF, else 1).
    """

    dimensions: tuple[Dimension, ...]
    shape: tuple[int, ...]
    growing: int | None
    dtype: np.dtype[np.generic]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    compression: str
    samples: int = 1

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
        """`shape` without y and x: what a storage index ranges over."""
        return self.shape[:-2]


@dataclass(frozen=True)
class ImagePlan:
    """One image: what OME calls an Image and NGFF a multiscale.

    Attributes
    ----------
    number, name, position
        Its place in the collection, what it is called, and where the stage was.
    array
        Its pixels.
    slow_axis
        The storage axis that acquisition advances slowest; a run that ends early is cut there. None
        when an image is a single plane.
    camera
        The camera whose image it is, where each has images of its own.
    planes
        How many consecutive planes one frame fills along the storage axis `plane_axis`: 3 for RGB in OME-Zarr, where
        the samples become channels, else 1.
    """

    number: int
    name: str
    position: Position | None
    array: ArrayPlan
    slow_axis: int | None
    camera: str = ""
    planes: int = 1
    plane_axis: int | None = None

    @cached_property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of a frame: (y, x), or (y, x, samples)."""
        samples = self.array.samples * self.planes
        return self.array.frame_shape if samples == 1 else (*self.array.frame_shape, samples)

    def plane(self, index: tuple[int, ...], sample: int = 0) -> tuple[int, ...]:
        """Return the storage index of a plane of the frame at `index`."""
        axis = self.plane_axis
        if axis is None:
            return index
        return (*index[:axis], index[axis] * self.planes + sample, *index[axis + 1 :])

    def frames_along(self, axis: int, extent: int) -> int:
        """Return how many frames the first `extent` planes along a storage axis are of."""
        return -(-extent // self.planes) if axis == self.plane_axis else extent

    def planes_along(self, axis: int, frames: int) -> int:
        """Return how many planes `frames` frames take along a storage axis."""
        return frames * self.planes if axis == self.plane_axis else frames


@dataclass(frozen=True)
class Plan:
    """What will happen: every image, and the way from a frame's number to its place.

    `frames` is the number of frames that `append` will take, or None when there is no end.
    """

    settings: AcquisitionSettings
    images: tuple[ImagePlan, ...]
    router: Router
    frames: int | None

    @cached_property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape that holds a frame of every image: (y, x), or (y, x, samples)."""
        shapes = {image.frame_shape for image in self.images}
        height, width = (max(shape[i] for shape in shapes) for i in (0, 1))
        samples = max(shape[2:] for shape in shapes)
        return (height, width, *samples)

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype that holds the pixels of every image."""
        together: np.dtype[np.generic] = np.result_type(*{i.array.dtype for i in self.images})
        little: np.dtype[np.generic] = together.newbyteorder("<")
        return little
