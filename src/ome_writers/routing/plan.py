"""The plan of an acquisition, resolved once from the settings. Frozen; not validated again."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ome_writers.dataset import ImageSpec, LevelSpec, copy_with
from ome_writers.routing.router import Router
from ome_writers.settings import AcquisitionSettings

ImagePlan = ImageSpec
"""Earlier name of the images of a plan."""

ArrayPlan = LevelSpec
"""Earlier name of the arrays of a plan."""


MANY_IMAGES = 1000  # that are worth `paused_collection`


@dataclass(frozen=True)
class Plan:
    """The images of an acquisition, and the router from frame number to address.

    `frames` is the total number of frames, `distinct_frames` how many of them do not replace an earlier one. Both are
    None if the acquisition is unbounded.
    """

    settings: AcquisitionSettings
    images: tuple[ImageSpec, ...]
    router: Router
    frames: int | None

    @property
    def distinct_frames(self) -> int | None:
        return None if self.frames is None else self.router.count_distinct(self.frames)

    def with_keys(self, images: Sequence[str], arrays: Iterable[Sequence[str]]) -> Plan:
        """Return the plan with the key of each image, and of each of its arrays, full resolution first."""
        keyed = []
        with paused_collection() if len(images) >= MANY_IMAGES else nullcontext():
            for image, key, keys in zip(self.images, images, arrays, strict=True):
                pairs = zip(image.levels, keys, strict=True)
                levels = [copy_with(level, key=of_level) for level, of_level in pairs]
                keyed.append(copy_with(image, key=key, levels=tuple(levels)))
        return replace(self, images=tuple(keyed))

    def with_keys_of(self, other: Plan) -> Plan:
        """Return the plan with the keys of a plan that has the same arrays."""
        arrays = [[level.key for level in image.levels] for image in other.images]
        return self.with_keys([image.key for image in other.images], arrays)

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
        dtype: np.dtype[np.generic] = np.result_type(*{i.levels[0].dtype for i in self.images})
        little_endian: np.dtype[np.generic] = dtype.newbyteorder("<")
        return little_endian


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause garbage collection while as many objects are created as there are images.

    All of them stay. Each collection would visit them again, which doubles the time for 20,000 positions.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _storage_properties(image: ImageSpec) -> tuple[object, ...]:
    """Return what an image's pixels depend on."""
    frames = image.addressing
    arrays = (level.storage for level in image.levels)
    return (*arrays, frames.planes, frames.plane_axis, frames.slow_axis)
