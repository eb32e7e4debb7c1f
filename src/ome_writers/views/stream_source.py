"""Views of a stream, or of the files of one, by acquisition index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import UnsupportedError
from ome_writers.routing import Plan, Step
from ome_writers.settings import Dimension
from ome_writers.views.source import pad_frame, view_names

if TYPE_CHECKING:
    from ome_writers.views.source import Stream
    from ome_writers.views.summary import Summary


class StreamSource:
    """`PlaneSource` of a stream. The stream has no overhead until a view is read or a listener connects.

    The names of the axes before the samples are those of the stream when the source is created. After a restart the
    source follows the stream to its new output: an axis that is new there is read at index 0.

    `stream` may be the files of one. `dimensions` and `chunks` (a shard or chunk in storage order) are for a dataset on
    disk, whose planned extents are those of the files.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        level: int = 0,
        dimensions: Sequence[Dimension] = (),
        chunks: tuple[int, ...] = (),
    ) -> None:
        self._stream = stream
        self._level = level
        self._stored = tuple(dimensions)
        self._chunks = chunks
        plan = _plan_at_level(stream.plan, level)
        self._dimensions = self._stored or tuple(plan.settings.dimensions)
        self._axes = plan.router.axes
        self.rank = len(self._axes)
        self._names = view_names(plan.settings.dimensions)
        self._projection = _Projection(stream.plan, level, self._axes)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes. The first frame may decide whether there is an axis of RGB samples."""
        return (*self._names, "s") if self._current.frame_shape[2:] else self._names

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """A dtype for the pixels of all images."""
        return self._current.dtype

    @property
    def _current(self) -> _Projection:
        plan, projection = self._stream.plan, self._projection
        if projection.stream_plan is not plan:
            self._projection = projection = _Projection(plan, self._level, self._axes)
        return projection

    def planned(self) -> tuple[int | None, ...]:
        current = self._current
        counts = (count for count, _ in current.axes) if not self._stored else self.reached()
        return (*counts, *current.frame_shape)

    def reached(self) -> tuple[int, ...]:
        extents = self._stream.extents()
        reached = [extents.get(name, 1) for name in self._axes]
        return tuple(-(-n // f) for n, f in zip(reached, self._current.factors, strict=True))

    def dimensions(self) -> Sequence[Dimension]:
        if self._stored:
            return self._stored
        current = {dim.name: dim for dim in self._current.plan.settings.dimensions}
        return [current.get(dim.name, dim) for dim in self._dimensions]

    def chunks(self) -> tuple[int, ...]:
        current = self._current
        image = current.plan.images[0]
        stored = self._chunks or image.array.shards or image.array.chunks
        along = [image.frames_along(axis, extent) for axis, extent in enumerate(stored)]
        chunks = [
            1 if axis is None else min(max(1, along[axis] // stride), count or along[axis])
            for count, (axis, stride) in current.axes
        ]
        return (*chunks, *stored[-2:], *current.frame_shape[2:])

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a frame; None outside of the planned shape of its image (ragged acquisitions)."""
        while True:  # again if the stream has restarted meanwhile
            current = self._current
            try:
                plane = self._plane(current, index)
            except Exception:
                if self._stream.plan is current.stream_plan:
                    raise
            else:
                if self._stream.plan is current.stream_plan:
                    return plane

    def _plane(self, current: _Projection, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        plan, acquired = current.plan, current.acquisition_index(index)
        number, storage_index = plan.router.address_of(acquired)
        image = plan.images[number]
        extents = image.array.index_shape
        for axis, i in enumerate(image.plane(storage_index)):
            if i >= extents[axis] and axis != image.array.growing:
                return None
        if not self._level and not self._stream.has_frame(acquired):
            return None  # `append` may be storing it right now
        frame = self._stream.read(number, storage_index, self._level)
        return pad_frame(frame, current.frame_shape)

    def watch(self, callback: Callable[[], None]) -> None:
        self._stream.on("coords_expanded", lambda _: callback())

    def summary(self) -> Summary:
        return self._stream.summary()


class _Projection:
    """A level of a plan along the axes of a view, at index 0 of its other axes."""

    def __init__(self, stream_plan: Plan, level: int, names: tuple[str, ...]) -> None:
        plan = _plan_at_level(stream_plan, level)
        router = plan.router
        axes = dict(zip(router.axes, zip(router.counts, router.steps, strict=True), strict=True))
        self.stream_plan = stream_plan
        self.plan = plan
        # count and step of each axis of the view; an axis that the plan does not have has one index
        self.axes = [axes.get(name, (1, Step(None, 0))) for name in names]
        by_axis = stream_plan.images[0].levels[level - 1].factors if level else ()
        # by axis of the view: how many indices at full resolution are one at this level
        self.factors = [
            by_axis[step.axis] if by_axis and step.axis is not None else 1 for _, step in self.axes
        ]
        self._order = [names.index(a) if a in names else None for a in router.axes]
        if None in self._order:
            numbers = [0]
            for count, (axis, stride) in self.axes:
                if axis is None:
                    numbers = [n + i * stride for n in numbers for i in range(count or 1)]
            plan = replace(plan, images=tuple(plan.images[n] for n in numbers))
        # for the frames of all images along these axes
        self.frame_shape = plan.frame_shape
        self.dtype = plan.dtype

    def acquisition_index(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return the index along all axes of the plan."""
        return tuple(0 if i is None else index[i] for i in self._order)


def _plan_at_level(plan: Plan, level: int) -> Plan:
    """Return a plan as if the arrays of a resolution level were those of full resolution.

    Raises UnsupportedError if an image does not have this level.
    """
    levels = min(len(image.levels) for image in plan.images)
    if not 0 <= level <= levels:
        raise UnsupportedError(
            f"The stream does not have a resolution level {level}; its levels are 0 to {levels}. Set pyramid in the "
            f"settings to write more."
        )
    if level == 0:
        return plan
    first = plan.images[0]
    chosen = first.levels[level - 1]
    names = [dim.name for dim in first.array.dimensions]
    by_name = dict(zip(names, zip(chosen.factors, chosen.offsets, strict=True), strict=True))
    reduced = {name: by_name[name] for name in names if by_name[name][0] > 1}
    dimensions = [
        _at_level(dim, *reduced[dim.name]) if dim.name in reduced else dim
        for dim in plan.settings.dimensions
    ]
    counts = {dim.name: dim.count for dim in dimensions}
    return replace(
        plan,
        settings=plan.settings.model_copy(update={"dimensions": tuple(dimensions)}),
        images=tuple(replace(i, array=i.levels[level - 1].array, levels=()) for i in plan.images),
        router=replace(plan.router, counts=tuple(counts[name] for name in plan.router.axes)),
    )


def _at_level(dimension: Dimension, factor: int, offset: float) -> Dimension:
    scale = dimension.scale or 1.0
    count = None if dimension.count is None else -(-dimension.count // factor)
    translation = (dimension.translation or 0.0) + offset * scale
    update = {"count": count, "coords": None, "scale": scale * factor, "translation": translation}
    return dimension.model_copy(update=update)
