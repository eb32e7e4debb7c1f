"""What a view needs: planes by acquisition index, and how far the axes were reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.settings import Dimension
    from ome_writers.views.summary import Summary

__all__ = ["Source", "Stream", "coordinates", "fitted", "view_names"]


class Source(Protocol):
    """Where a view gets its planes from. All methods may be called from any thread.

    Attributes
    ----------
    dims
        Names of all axes in acquisition order; y and x, and ``s`` (samples) of RGB frames, are the last.
    rank
        Number of axes before y.
    dtype
        The samples' dtype.
    """

    rank: int

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """See above."""
        ...

    @property
    def dims(self) -> tuple[str, ...]:
        """See above."""
        ...

    def planned(self) -> tuple[int | None, ...]:
        """Return the extents of all axes when all is done; None where there is no end."""
        ...

    def reached(self) -> tuple[int, ...]:
        """Return how far each axis before y was reached."""
        ...

    def coords(self, shape: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return the coordinates of each axis, as many as `shape` says."""
        ...

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return the frame at an acquisition index; None where nothing can have been written."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, on some thread, when a new extent was reached."""
        ...

    def summary(self) -> Summary:
        """Return path, state and numbers of frames, for display."""
        ...


class Stream(Protocol):
    """What a view needs of a stream, or of the files that one has left."""

    @property
    def plan(self) -> Plan:
        """What was resolved from the settings."""
        ...

    def extents(self) -> Mapping[str, int]:
        """Return how far each acquisition axis was reached; never waits for the disk."""
        ...

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Whether a frame may be at an acquisition index; one that is still being taken is not."""
        ...

    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the frame at a storage index, from memory or disk; zeros when unwritten."""
        ...

    def on(self, event: Any, callback: Callable[[Any], None]) -> None:
        """Have `callback` called at ``"coords_expanded"``, off the acquisition thread."""
        ...

    def summary(self) -> Summary:
        """Return path, state and numbers of frames, for display; never waits for the disk."""
        ...


def view_names(dimensions: Sequence[Dimension]) -> tuple[str, ...]:
    """Return the names that views and updates give the dimensions: the axis of positions is ``p``."""
    names = [d.name for d in dimensions]
    return tuple("p" if d.type == "position" and "p" not in names else d.name for d in dimensions)


def fitted(frame: NDArray[np.generic], hull: tuple[int, ...]) -> NDArray[np.generic]:
    """Return a frame as one of shape `hull`: with zeros around it, and grey in all of the samples."""
    if frame.shape == hull:
        return frame
    out = np.zeros(hull, frame.dtype)
    part = out[tuple(map(slice, frame.shape[:2]))]
    part[...] = frame if frame.ndim == out.ndim else frame[..., np.newaxis]
    return out


def coordinates(dimension: Dimension, extent: int) -> Sequence[Any]:
    """Return the first `extent` coordinates: those of axes that are neither space nor time, else a range.

    Channels, positions and cameras are given by their names.
    """
    if dimension.type not in ("space", "time") and dimension.coords:
        coords = [
            c if isinstance(c, (int, float)) else str(getattr(c, "name", c))
            for c in dimension.coords[:extent]
        ]
        if len(coords) == extent:
            return coords
    return range(extent)
