"""Views of one array per image, stacked along a position axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import Region
from ome_writers.settings import Dimension
from ome_writers.views.source import Summary, pad_frame


class StackedSource:
    """`PlaneSource` of array-likes in storage order. Shapes are read at each access, so arrays may grow.

    There is one array per image: the view has the largest extent of each axis and reads 0 outside of smaller arrays.
    `position_axis` is the image axis in acquisition order; without one, only the first array is shown. `permutation`
    maps the other acquisition axes to storage axes; `labels` are in acquisition order.
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        position_axis: int | None = 0,
        permutation: Sequence[int] | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        if not arrays:
            raise ValueError("A StreamView needs at least one array.")
        self._arrays = list(arrays)
        self._position_axis = position_axis
        ndim = len(self._arrays[0].shape)
        if any(len(a.shape) != ndim for a in self._arrays) or ndim < 2:
            shapes = [tuple(a.shape) for a in self._arrays]
            raise ValueError(
                f"The arrays of a StreamView must have the same axes, y and x last: {shapes}."
            )
        heights, widths = zip(*(a.shape[-2:] for a in self._arrays), strict=True)
        self._frame_shape = max(heights), max(widths)
        stored = ndim - 2
        order = tuple(range(stored)) if permutation is None else tuple(permutation)[:stored]
        if sorted(order) != list(range(stored)):
            raise ValueError(
                f"acquisition_order_perm must be a permutation of {list(range(stored))}, got {permutation}."
            )
        self._order = order
        axes = ndim + (position_axis is not None)
        self.dtype: np.dtype[np.generic] = np.result_type(*(a.dtype for a in self._arrays))
        self.dims = tuple(labels) or tuple(f"d{i}" for i in range(axes))
        if len(self.dims) != axes:
            raise ValueError(f"dimension_labels must name {axes} axes, got {list(labels)}.")
        self.names = self.dims[:-2]

    def extents(self) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
        """Return the extents twice: everything inside the arrays counts as reached."""
        largest = [max(extents) for extents in zip(*(a.shape for a in self._arrays), strict=True)]
        shape = [int(largest[i]) for i in self._order]
        if self._position_axis is not None:
            shape.insert(self._position_axis, len(self._arrays))
        extents = (*shape, *map(int, largest[-2:]))
        return extents, extents

    def dimensions(self) -> Sequence[Dimension]:
        """Return nothing: arrays have neither scale nor unit."""
        return ()

    def chunks(self) -> tuple[int, ...]:
        """Return the extents of a frame."""
        return (*[1] * len(self.names), *self._frame_shape)

    def plane(
        self, index: tuple[int, ...], region: Region | None = None
    ) -> NDArray[np.generic] | None:
        acquired = list(index)
        image = 0 if self._position_axis is None else acquired.pop(self._position_axis)
        array = self._arrays[image]
        stored = [0] * len(self._order)
        for i, axis in zip(acquired, self._order, strict=True):
            stored[axis] = i
        if any(i >= n for i, n in zip(stored, array.shape, strict=False)):
            return None
        plane = np.asarray(array[tuple(stored)])
        return plane if plane.shape == self._frame_shape else pad_frame(plane, self._frame_shape)

    def watch(self, callback: Callable[[], None]) -> None:
        """Do nothing: arrays do not report when they grow."""

    def summary(self) -> Summary:
        return Summary()
