"""Current extents of an acquisition and of each of its images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ome_writers.locks import new_lock
from ome_writers.routing.plan import Plan

_BATCH_FRAMES = 65_536  # frames whose indices are in memory at the same time


class Progress:
    """The extent reached so far along each acquisition axis and each array axis. Thread-safe.

    There is no cost per frame: `advance` computes the addresses of all frames since the previous call.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = new_lock()
        self._frames = 0
        self._acquired = np.zeros(len(plan.router.axes), dtype=np.int64)
        self._reached = np.zeros((len(plan.images), plan.router.rank), dtype=np.int64)

    @property
    def extents(self) -> dict[str, int]:
        """Current extent of each acquisition axis."""
        return dict(zip(self._plan.router.axes, self._acquired.tolist(), strict=True))

    def advance(self, frames: int) -> None:
        """Include the first `frames` frames in acquisition order."""
        with self._lock:
            while self._frames < frames:
                stop = min(frames, self._frames + _BATCH_FRAMES)
                self._include(np.arange(self._frames, stop, dtype=np.int64))
                self._frames = stop

    def include_numbers(self, numbers: NDArray[np.int64]) -> None:
        """Include the frames with these numbers in acquisition order."""
        with self._lock:
            for start in range(0, len(numbers), _BATCH_FRAMES):
                self._include(numbers[start : start + _BATCH_FRAMES])

    def include_shape(self, image: int, shape: tuple[int, ...]) -> None:
        """Include the extent of an image's array along its unbounded axis."""
        spec = self._plan.images[image]
        if (axis := spec.array.growing) is not None:
            with self._lock:
                reached = spec.addressing.frames_along(axis, shape[axis])
                self._reached[image, axis] = max(self._reached[image, axis], reached)

    def _include(self, numbers: NDArray[np.int64]) -> None:
        acquired = self._plan.router.acquired(numbers)
        self._acquired = np.maximum(self._acquired, acquired.max(axis=0, initial=0) + 1)
        images, index = self._plan.router.project(acquired)
        np.maximum.at(self._reached, images, index + 1)

    def include(self, acquired: Mapping[str, int], address: tuple[int, tuple[int, ...]]) -> None:
        """Include a frame that was appended with an explicit index."""
        image, index = address
        indices = [acquired[name] + 1 for name in self._plan.router.axes]
        with self._lock:
            self._acquired = np.maximum(self._acquired, indices)
            row = self._reached[image]
            np.maximum(row, np.asarray(index, dtype=np.int64) + 1, out=row)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the current shape of each array: as planned, except for the unbounded axis."""
        return [self._shape(i, image.array.growing) for i, image in enumerate(self._plan.images)]

    def final_shapes(self, *, trim: bool) -> list[tuple[int, ...]]:
        """Return the final shape of each array.

        With `trim` the slowest axis is cut to the extent reached, but not below 1: readers of both formats reject
        empty images.
        """
        if not trim:
            return self.shapes()
        return [
            self._shape(
                i,
                image.array.growing
                if image.array.growing is not None
                else image.addressing.slow_axis,
            )
            for i, image in enumerate(self._plan.images)
        ]

    def _shape(self, image: int, axis: int | None) -> tuple[int, ...]:
        spec = self._plan.images[image]
        shape = list(spec.shape)
        if axis is not None:
            reached = spec.addressing.planes_along(axis, int(self._reached[image, axis]))
            shape[axis] = max(1, reached)
        return tuple(shape)
