"""How far an acquisition has come, image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ome_writers.locks import new_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ome_writers.routing.plan import Plan

__all__ = ["Progress"]


class Progress:
    """The extents that were reached in each image.

    Costs nothing a frame: the places of all frames since the last question are computed at once when
    somebody asks. Safe to ask from any thread.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = new_lock()
        self._seen = 0
        self._acquired = np.zeros(len(plan.router.axes), dtype=np.int64)
        self._reached = np.zeros((len(plan.images), plan.router.rank), dtype=np.int64)

    @property
    def extents(self) -> dict[str, int]:
        """How far each acquisition axis was reached."""
        return dict(zip(self._plan.router.axes, self._acquired.tolist(), strict=True))

    def advance(self, frames: int) -> None:
        """Take note that the first `frames` frames of the acquisition order have come."""
        with self._lock:
            while self._seen < frames:
                stop = min(frames, self._seen + 65_536)
                acquired = self._plan.router.acquired(np.arange(self._seen, stop, dtype=np.int64))
                self._acquired = np.maximum(self._acquired, acquired.max(axis=0, initial=0) + 1)
                images, index = self._plan.router.project(acquired)
                np.maximum.at(self._reached, images, index + 1)
                self._seen = stop

    def include(self, acquired: Mapping[str, int], address: tuple[int, tuple[int, ...]]) -> None:
        """Take note of a frame that came with an explicit address."""
        image, index = address
        indices = [acquired[name] + 1 for name in self._plan.router.axes]
        with self._lock:
            self._acquired = np.maximum(self._acquired, indices)
            row = self._reached[image]
            np.maximum(row, np.asarray(index, dtype=np.int64) + 1, out=row)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shape that each array shows now: as planned, the growing axis as reached."""
        return [self._shape(i, image.array.growing) for i, image in enumerate(self._plan.images)]

    def final_shapes(self, *, trim: bool) -> list[tuple[int, ...]]:
        """Return the shape that each array keeps.

        With `trim` the slowest axis is cut to what was reached; an axis is never cut below 1, since no
        reader of either format opens an empty image.
        """
        if not trim:
            return self.shapes()
        return [
            self._shape(
                i, image.array.growing if image.array.growing is not None else image.slow_axis
            )
            for i, image in enumerate(self._plan.images)
        ]

    def _shape(self, image: int, axis: int | None) -> tuple[int, ...]:
        shape = list(self._plan.images[image].array.shape)
        if axis is not None:
            reached = self._plan.images[image].planes_along(axis, int(self._reached[image, axis]))
            shape[axis] = max(1, reached)
        return tuple(shape)
