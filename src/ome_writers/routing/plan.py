"""The plan: settings resolved, once, into what will happen.

Everything here is frozen. Nothing is validated again behind this door.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

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

    `slow_axis` is the storage axis that acquisition advances slowest; a run that ends early is
    cut there. None when an image is a single plane.
    """

    number: int
    name: str
    position: Position | None
    array: ArrayPlan
    slow_axis: int | None


@dataclass(frozen=True)
class Plan:
    """What will happen: every image, and the way from a frame's number to its place.

    `frames` is the number of frames that `append` will take, or None when there is no end;
    `planes` is the number of consecutive planes that one frame fills (3 for RGB in OME-Zarr,
    where the samples become channels, else 1) along the storage axis `plane_axis`.
    """

    settings: AcquisitionSettings
    images: tuple[ImagePlan, ...]
    router: Router
    frames: int | None
    planes: int = 1
    plane_axis: int | None = None
