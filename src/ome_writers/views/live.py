"""A stream as the source of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers.views.source import coordinates, fitted, view_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.views.source import Stream
    from ome_writers.views.summary import Summary

__all__ = ["LiveSource"]


class LiveSource:
    """Planes and extents of a stream, by acquisition index; see `Source`.

    Nothing is asked of the stream, and nothing is added to it, before somebody looks.
    """

    def __init__(self, stream: Stream) -> None:
        plan = stream.plan
        self._stream = stream
        self._axes = plan.router.axes
        self.rank = len(self._axes)
        self._names = view_names(plan.settings.dimensions)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes; whether frames have colours may be told by the first of them."""
        return (*self._names, "s") if self._samples > 1 else self._names

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype that holds the pixels of all images."""
        return self._plan.dtype

    @property
    def _plan(self) -> Plan:
        return self._stream.plan

    @property
    def _samples(self) -> int:
        return (self._plan.frame_shape[2:] or (1,))[0]

    def planned(self) -> tuple[int | None, ...]:
        """Return the counts of the settings."""
        return (*self._plan.router.counts, *self._plan.frame_shape)

    def reached(self) -> tuple[int, ...]:
        """Return how far each acquisition axis was reached."""
        extents = self._stream.extents()
        return tuple(extents[name] for name in self._axes)

    def coords(self, shape: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return the names of channels and positions, ranges for other axes."""
        dimensions = self._plan.settings.dimensions
        coords = {
            name: coordinates(dim, extent)
            for name, dim, extent in zip(self.dims, dimensions, shape, strict=False)
        }
        if self._samples > 1:
            coords["s"] = range(self._samples)
        return coords

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a frame; None outside of what its image will ever hold (ragged acquisitions)."""
        image, place = 0, [0] * self._plan.router.rank
        for i, (axis, stride) in zip(index, self._plan.router.steps, strict=True):
            if axis is None:
                image += i * stride
            else:
                place[axis] += i * stride
        one = self._plan.images[image]
        array = one.array
        for axis, (i, extent) in enumerate(
            zip(one.plane(tuple(place)), array.index_shape, strict=True)
        ):
            if i >= extent and axis != array.growing:
                return None
        if not self._stream.has_frame(index):
            return None  # it may be half on its way at this moment
        return fitted(self._stream.read(image, tuple(place)), self._plan.frame_shape)

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when a new extent was reached."""
        self._stream.on("coords_expanded", lambda _: callback())

    def summary(self) -> Summary:
        """Return what the stream says."""
        return self._stream.summary()
