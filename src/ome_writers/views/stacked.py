"""Views of one array per image, stacked along a position axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.settings import Dimension
from ome_writers.views.source import pad_frame
from ome_writers.views.summary import Summary


class StackedSource:
    """`PlaneSource` of array-likes in storage order. Shapes are read at each access, so arrays may grow.

    There is one array per image: the view has the largest extent of each axis and reads 0 outside of smaller arrays.
    `position_axis` is the image axis in acquisition order; without one, only the first array is shown. `permutation`
    maps the other acquisition axes to storage axes; `labels` and `dimensions` are in acquisition order, without a
    dimension for the samples; `chunks` are extents in storage order, by default a frame. `summary` returns path, state
    and numbers of frames.
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        position_axis: int | None = 0,
        permutation: Sequence[int] | None = None,
        labels: Sequence[str] = (),
        *,
        dimensions: Sequence[Dimension] = (),
        chunks: Sequence[int] = (),
        samples: bool = False,
        summary: Callable[[], Summary] = Summary,
    ) -> None:
        if not arrays:
            raise ValueError("A StreamView needs at least one array.")
        self._arrays = list(arrays)
        self._position_axis = position_axis
        self._frame = 3 if samples else 2
        self._dimensions = tuple(dimensions)
        self._chunks = tuple(chunks)
        self.summary = summary
        ndim = len(self._arrays[0].shape)
        if any(len(a.shape) != ndim for a in self._arrays) or ndim < self._frame:
            shapes = [tuple(a.shape) for a in self._arrays]
            raise ValueError(
                f"The arrays of a StreamView must have the same axes, y and x last: {shapes}."
            )
        frames = [tuple(a.shape[-self._frame :]) for a in self._arrays]
        self._frame_shape = tuple(max(extents) for extents in zip(*frames, strict=True))
        stored = ndim - self._frame
        order = tuple(range(stored)) if permutation is None else tuple(permutation)[:stored]
        if sorted(order) != list(range(stored)):
            raise ValueError(
                f"acquisition_order_perm must be a permutation of {list(range(stored))}, got {permutation}."
            )
        self._order = order
        self.rank = stored + (position_axis is not None)
        self.dtype: np.dtype[np.generic] = np.result_type(*(a.dtype for a in self._arrays))
        self.dims = tuple(labels) or tuple(f"d{i}" for i in range(self.rank + self._frame))
        if len(self.dims) != self.rank + self._frame:
            raise ValueError(
                f"dimension_labels must name {self.rank + self._frame} axes, got {list(labels)}."
            )

    def planned(self) -> tuple[int | None, ...]:
        largest = [max(extents) for extents in zip(*(a.shape for a in self._arrays), strict=True)]
        shape = [int(largest[i]) for i in self._order]
        if self._position_axis is not None:
            shape.insert(self._position_axis, len(self._arrays))
        return (*shape, *map(int, largest[-self._frame :]))

    def reached(self) -> tuple[int, ...]:
        """Return the planned extents: everything inside the arrays counts as reached."""
        return tuple(n or 0 for n in self.planned()[: self.rank])

    def dimensions(self) -> Sequence[Dimension]:
        return self._dimensions

    def chunks(self) -> tuple[int, ...]:
        stored = self._chunks or (*[1] * len(self._order), *self._frame_shape)
        chunks = [stored[i] for i in self._order]
        if self._position_axis is not None:
            chunks.insert(self._position_axis, 1)
        return (*chunks, *stored[len(self._order) :][:2], *self._frame_shape[2:])

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        acquired = list(index)
        image = 0 if self._position_axis is None else acquired.pop(self._position_axis)
        array = self._arrays[image]
        stored = [0] * len(self._order)
        for i, axis in zip(acquired, self._order, strict=True):
            stored[axis] = i
        if any(i >= n for i, n in zip(stored, array.shape, strict=False)):
            return None
        plane = np.asarray(array[tuple(stored)])
        return pad_frame(plane, self._frame_shape)

    def watch(self, callback: Callable[[], None]) -> None:
        """Do nothing: arrays do not report when they grow."""
