"""Views of a stream, or of the files of one, by acquisition index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers.views.source import coordinates, pad_frame, view_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.views.source import Stream
    from ome_writers.views.summary import Summary

__all__ = ["StreamSource"]


class StreamSource:
    """`Source` of a stream. The stream has no overhead until a view is read or a listener connects.

    `acquired` is False for a dataset on disk, whose planned extents are those of the files.
    """

    def __init__(self, stream: Stream, *, acquired: bool = True) -> None:
        plan = stream.plan
        self._stream = stream
        self._acquired = acquired
        self._axes = plan.router.axes
        self.rank = len(self._axes)
        self._names = view_names(plan.settings.dimensions)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes. The first frame may decide whether there is an axis of RGB samples."""
        return (*self._names, "s") if self._samples > 1 else self._names

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """A dtype for the pixels of all images."""
        return self._plan.dtype

    @property
    def _plan(self) -> Plan:
        return self._stream.plan

    @property
    def _samples(self) -> int:
        return (self._plan.frame_shape[2:] or (1,))[0]

    def planned(self) -> tuple[int | None, ...]:
        counts = self._plan.router.counts if self._acquired else self.reached()
        return (*counts, *self._plan.frame_shape)

    def reached(self) -> tuple[int, ...]:
        extents = self._stream.extents()
        return tuple(extents[name] for name in self._axes)

    def coords(self, shape: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        dimensions = self._plan.settings.dimensions
        coords = {
            name: coordinates(dim, extent)
            for name, dim, extent in zip(self.dims, dimensions, shape, strict=False)
        }
        if self._samples > 1:
            coords["s"] = range(self._samples)
        return coords

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a frame; None outside of the planned shape of its image (ragged acquisitions)."""
        number, storage_index = 0, [0] * self._plan.router.rank
        for i, (axis, stride) in zip(index, self._plan.router.steps, strict=True):
            if axis is None:
                number += i * stride
            else:
                storage_index[axis] += i * stride
        image = self._plan.images[number]
        extents = image.array.index_shape
        for axis, i in enumerate(image.plane(tuple(storage_index))):
            if i >= extents[axis] and axis != image.array.growing:
                return None
        if not self._stream.has_frame(index):
            return None  # `append` may be storing it right now
        return pad_frame(self._stream.read(number, tuple(storage_index)), self._plan.frame_shape)

    def watch(self, callback: Callable[[], None]) -> None:
        self._stream.on("coords_expanded", lambda _: callback())

    def summary(self) -> Summary:
        return self._stream.summary()
