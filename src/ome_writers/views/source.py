"""`PlaneSource`, what a view reads from; names and coordinates of axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import Region
from ome_writers.routing import coordinates
from ome_writers.settings import Dimension

if TYPE_CHECKING:
    from ome_writers.views.summary import Summary


class PlaneSource(Protocol):
    """The planes of a view, by acquisition index. All methods may be called from any thread.

    Attributes
    ----------
    dims
        Names of all axes in acquisition order; the last are y, x and, for RGB frames, ``s`` (samples).
    names
        Names of the axes before y.
    dtype
        Dtype of the pixels.
    """

    names: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    @property
    def dims(self) -> tuple[str, ...]: ...

    def extents(self) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
        """Return the extents of all axes: those reached so far, and those planned, None for unbounded axes."""
        ...

    def dimensions(self) -> Sequence[Dimension]:
        """Return coordinates, scale and unit of the axes, in the order of `dims`; empty if they are not known."""
        ...

    def chunks(self) -> tuple[int, ...]:
        """Return the extents of what is best read at once, along all axes: of a shard or chunk, or one frame."""
        ...

    def plane(
        self, index: tuple[int, ...], region: Region | None = None
    ) -> NDArray[np.generic] | None:
        """Return the frame at an acquisition index; None if it cannot have been written."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback`, on any thread, whenever an extent has grown."""
        ...

    def summary(self) -> Summary:
        """Return path, state and numbers of frames."""
        ...


def pad_frame(frame: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Return a frame padded with zeros to `shape`; grey frames are repeated along an axis of RGB samples."""
    out = np.zeros(shape, frame.dtype)
    part = out[tuple(map(slice, frame.shape[:2]))]
    part[...] = frame if frame.ndim == out.ndim else frame[..., np.newaxis]
    return out


def physical_coords(dimension: Dimension, extent: int) -> Sequence[Any]:
    """Return `coordinates`, and for axes of known scale the physical ones, in their unit."""
    coords = dimension.coords or ()
    if len(coords) >= extent > 0 and all(isinstance(c, (int, float)) for c in coords):
        return list(coords[:extent])
    if dimension.scale is None or coords:
        return coordinates(dimension, extent)
    origin = dimension.translation or 0.0
    return [origin + dimension.scale * i for i in range(extent)]
