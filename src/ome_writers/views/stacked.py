"""Arrays that lie side by side as the source of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["StackedSource"]


class StackedSource:
    """Array-likes in storage order, one an image, seen in acquisition order; see `Source`."""

    coords_changed = Signal()

    def __init__(
        self,
        arrays: Sequence[Any],
        position_axis: int | None,
        permutation: tuple[int, ...] | None,
        labels: tuple[str, ...],
    ) -> None:
        self._arrays = list(arrays)
        self._position_axis = position_axis
        rank = len(self._arrays[0].shape) - 2
        self._permutation = permutation or tuple(range(rank))
        self.dtype: np.dtype[np.generic] = np.dtype(self._arrays[0].dtype)
        shape = self.full_shape()
        self.dims = labels or tuple(f"d{i}" for i in range(len(shape)))

    def full_shape(self) -> tuple[int, ...]:
        """Return the hull of all arrays, in acquisition order."""
        *index, y, x = np.max([a.shape for a in self._arrays], axis=0).tolist()
        acquired = [index[self._permutation.index(i)] for i in range(len(index))]
        if self._position_axis is not None:
            acquired.insert(self._position_axis, len(self._arrays))
        return (*acquired, y, x)

    def extents(self) -> tuple[int, ...]:
        """Return the hull without y and x."""
        return self.full_shape()[:-2]

    def coords(self, extents: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return a range for each axis."""
        return {d: range(n) for d, n in zip(self.dims, extents, strict=True)}

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return the frame at an acquisition index; None where an array is smaller."""
        acquired = list(index)
        image = acquired.pop(self._position_axis) if self._position_axis is not None else 0
        array = self._arrays[image]
        at = tuple(acquired[i] for i in self._permutation)
        if any(i >= n for i, n in zip(at, array.shape, strict=False)):
            return None
        return np.asarray(array[at])
