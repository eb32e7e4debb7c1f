"""Arrays that lie side by side as the source of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.views.source import fitted
from ome_writers.views.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["StackedSource"]


class StackedSource:
    """Array-likes in storage order, one an image, seen in acquisition order; see `Source`.

    Shapes are asked for each time, so that arrays may grow.

    Parameters
    ----------
    arrays
        One an image. They may differ in extent: the view has the largest, and reads 0 outside.
    position_axis
        Where the axis of images stands in acquisition order; None: the first array alone.
    permutation
        For each acquisition axis (positions left out) its place in storage order.
    labels
        Names of all axes, in acquisition order.
    names
        Coordinates by axis, where there are other than numbers.
    samples
        Whether a frame has a last axis of samples (RGB).
    summary
        Returns path, state and numbers of frames, for display.
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        position_axis: int | None = 0,
        permutation: Sequence[int] | None = None,
        labels: Sequence[str] = (),
        names: Mapping[str, Sequence[str]] | None = None,
        *,
        samples: bool = False,
        summary: Callable[[], Summary] = Summary,
    ) -> None:
        if not arrays:
            raise ValueError("A StreamView needs at least one array.")
        self._arrays = list(arrays)
        self._position_axis = position_axis
        self._frame = 3 if samples else 2
        self._names = names or {}
        self.summary = summary
        ndim = len(self._arrays[0].shape)
        if any(len(a.shape) != ndim for a in self._arrays) or ndim < self._frame:
            shapes = [tuple(a.shape) for a in self._arrays]
            raise ValueError(
                f"The arrays of a StreamView must have the same axes, y and x last: {shapes}."
            )
        frames = [tuple(a.shape[-self._frame :]) for a in self._arrays]
        self._hull = tuple(max(extents) for extents in zip(*frames, strict=True))
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
        """Return the hull of all arrays."""
        hull = [max(extents) for extents in zip(*(a.shape for a in self._arrays), strict=True)]
        shape = [int(hull[i]) for i in self._order]
        if self._position_axis is not None:
            shape.insert(self._position_axis, len(self._arrays))
        return (*shape, *map(int, hull[-self._frame :]))

    def reached(self) -> tuple[int, ...]:
        """Return the hull without the frame's axes: what lies there counts as reached."""
        return tuple(n or 0 for n in self.planned()[: self.rank])

    def coords(self, shape: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return the names of each axis that has enough of them, else a range."""
        coords: dict[str, Sequence[Any]] = {}
        for name, extent in zip(self.dims, shape, strict=True):
            named = list(self._names.get(name, ()))[:extent]
            coords[name] = named if named and len(named) == extent else range(extent)
        return coords

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a frame; None outside of its array."""
        acquired = list(index)
        image = 0 if self._position_axis is None else acquired.pop(self._position_axis)
        array = self._arrays[image]
        place = [0] * len(self._order)
        for i, axis in zip(acquired, self._order, strict=True):
            place[axis] = i
        if any(i >= n for i, n in zip(place, array.shape, strict=False)):
            return None
        plane = np.asarray(array[tuple(place)])
        return fitted(plane, self._hull)

    def watch(self, callback: Callable[[], None]) -> None:
        """Do nothing: nobody tells when other people's arrays grow."""
