"""Views of a stream, or of the files of one, by acquisition index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.views.source import pad_frame, view_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.settings import Dimension
    from ome_writers.views.source import Stream
    from ome_writers.views.summary import Summary

__all__ = ["StreamSource"]


class StreamSource:
    """`Source` of a stream. The stream has no overhead until a view is read or a listener connects.

    Parameters
    ----------
    stream
        The stream, or the files of one.
    dimensions, chunks
        Of a dataset on disk: its dimensions, and the extents of a shard or chunk in storage order. Its planned
        extents are those of the files.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        dimensions: Sequence[Dimension] = (),
        chunks: tuple[int, ...] = (),
    ) -> None:
        plan = stream.plan
        self._stream = stream
        self._stored = tuple(dimensions)
        self._chunks = chunks
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
        counts = self._plan.router.counts if not self._stored else self.reached()
        return (*counts, *self._plan.frame_shape)

    def reached(self) -> tuple[int, ...]:
        extents = self._stream.extents()
        return tuple(extents[name] for name in self._axes)

    def dimensions(self) -> Sequence[Dimension]:
        return self._stored or self._plan.settings.dimensions

    def chunks(self) -> tuple[int, ...]:
        image = self._plan.images[0]
        stored = self._chunks or image.array.shards or image.array.chunks
        along = [image.frames_along(axis, extent) for axis, extent in enumerate(stored)]
        router = self._plan.router
        chunks = [
            1 if axis is None else min(max(1, along[axis] // stride), count or along[axis])
            for count, (axis, stride) in zip(router.counts, router.steps, strict=True)
        ]
        return (*chunks, *stored[-2:], *self._plan.frame_shape[2:])

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
