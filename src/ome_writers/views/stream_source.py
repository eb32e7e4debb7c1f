"""Views of a running stream, or of an open dataset, by acquisition index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec, Region
from ome_writers.errors import UnsupportedError
from ome_writers.routing import Plan, Router, Step
from ome_writers.settings import Dimension
from ome_writers.views.source import pad_frame

if TYPE_CHECKING:
    from ome_writers.views.source import Summary


class FrameReader(Protocol):
    """What a view reads: a running `OMEStream`, or an `OpenDataset`. All methods may be called from any thread.

    Those of a stream never wait for the disk, except `read`.
    """

    @property
    def plan(self) -> Plan | None:
        """Images, axes and frame order; another object after a restart, for which it waits. None if not known."""
        ...

    def extents(self, level: int = 0) -> Mapping[str, int]:
        """Return the extent reached so far of each acquisition axis."""
        ...

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return whether the frame at an acquisition index may be stored. A frame inside `append` is not."""
        ...

    def read(
        self, image: int, index: tuple[int, ...], level: int = 0, region: Region | None = None
    ) -> NDArray[np.generic]:
        """Return the frame at a storage index of a level, from memory or disk; zeros if it is not written."""
        ...

    def on(self, event: Any, callback: Callable[[Any], None]) -> None:
        """Call `callback` on ``"coords_expanded"``, on another thread than that of the acquisition."""
        ...

    def summary(self) -> Summary:
        """Return path, state and numbers of frames."""
        ...


@dataclass(frozen=True)
class FrameGrid:
    """The frames of a stream or dataset at a resolution level, along the axes of a view.

    Attributes
    ----------
    plan
        `FrameReader.plan` when this was made.
    router
        Maps an index of the view to an address. Its counts are those of the level.
    dimensions
        The axes, y and x included, with the scale of the level.
    frame_shape, dtype
        Those that hold a frame of any image.
    chunks
        Extents of a shard or chunk of the first image: in frames along the index axes, then in pixels.
    images
        The planned images of a stream: there are no frames outside of their shapes. Empty for a dataset.
    order
        By acquisition axis of the plan, the axis of the view; None for an axis that a view made before a restart does
        not have.
    """

    plan: Plan | None
    router: Router
    dimensions: tuple[Dimension, ...]
    frame_shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    chunks: tuple[int, ...]
    images: tuple[ImageSpec, ...] = ()
    order: tuple[int | None, ...] = ()

    def planned_index(
        self, index: tuple[int, ...], number: int, stored: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        """Return the acquisition index of a frame of a stream; None outside of the planned shape of its image."""
        image = self.images[number]
        array = image.levels[0]
        for axis, i in enumerate(image.addressing.plane(stored)):
            if i >= array.shape[axis] and axis != array.growing:
                return None
        return tuple([0 if i is None else index[i] for i in self.order])


class StreamSource:
    """`PlaneSource` of a running stream or an open dataset.

    A stream has no overhead until a view is read or a listener connects. The names of the axes before the samples are
    those of the stream when the source is created. After a restart the source follows the stream to its new output: an
    axis that is new there is read at index 0.

    `grid` is that of a dataset, whose planned extents are those of its files; by default, that of the stream's plan.
    """

    def __init__(
        self, frames: FrameReader, *, level: int = 0, grid: FrameGrid | None = None
    ) -> None:
        self._frames = frames
        self._level = level
        self._stored = grid is not None
        self._grid = grid = grid or _planned_grid(frames.plan, level)
        self._dimensions = grid.dimensions
        self._dims = view_names(grid.dimensions)
        self._axes = grid.router.axes
        self.names = self._dims[:-2]

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes. The first frame may decide whether there is an axis of RGB samples."""
        return (*self._dims, "s") if self._current().frame_shape[2:] else self._dims

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """A dtype for the pixels of all images."""
        return self._current().dtype

    def _current(self) -> FrameGrid:
        plan, grid = self._frames.plan, self._grid
        if grid.plan is not plan:
            self._grid = grid = _planned_grid(plan, self._level, self._axes)
        return grid

    def extents(self) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
        current, extents = self._current(), self._frames.extents(self._level)
        frame = current.frame_shape
        reached = (*[extents.get(name, 1) for name in self._axes], *frame)
        return reached, reached if self._stored else (*current.router.counts, *frame)

    def dimensions(self) -> Sequence[Dimension]:
        current = {dim.name: dim for dim in self._current().dimensions}
        return [current.get(dim.name, dim) for dim in self._dimensions]

    def chunks(self) -> tuple[int, ...]:
        current = self._current()
        stored = current.chunks
        axes = zip(current.router.counts, current.router.steps, strict=True)
        chunks = [
            1 if axis is None else min(max(1, stored[axis] // stride), count or stored[axis])
            for count, (axis, stride) in axes
        ]
        return (*chunks, *stored[-2:], *current.frame_shape[2:])

    def plane(
        self, index: tuple[int, ...], region: Region | None = None
    ) -> NDArray[np.generic] | None:
        """Return a frame; None outside of the planned shape of its image (ragged acquisitions)."""
        while True:  # again if the stream has restarted meanwhile
            current = self._current()
            number, stored = current.router.address_of(index)
            frame = None
            try:
                acquired = current.planned_index(index, number, stored) if current.images else index
                # `append` may be storing it right now
                if acquired is not None and (self._level or self._frames.has_frame(acquired)):
                    frame = self._frames.read(number, stored, self._level, region)
            except Exception:
                if self._frames.plan is current.plan:
                    raise
            if self._frames.plan is current.plan:
                shape = current.frame_shape
                return frame if frame is None or frame.shape == shape else pad_frame(frame, shape)

    def watch(self, callback: Callable[[], None]) -> None:
        self._frames.on("coords_expanded", lambda _: callback())

    def summary(self) -> Summary:
        return self._frames.summary()


def view_names(dimensions: Sequence[Dimension]) -> tuple[str, ...]:
    """Return the axis names of views and ``coords_expanded`` events: the position axis is called ``p``."""
    names = [d.name for d in dimensions]
    return tuple("p" if d.type == "position" and "p" not in names else d.name for d in dimensions)


def _planned_grid(plan: Plan | None, level: int, names: tuple[str, ...] | None = None) -> FrameGrid:
    """Return the frames of a plan along the axes `names`, by default its own, at index 0 of its other axes."""
    assert plan is not None, "a stream has a plan"
    at_level = _plan_at_level(plan, level)
    router = at_level.router
    axes = dict(zip(router.axes, zip(router.counts, router.steps, strict=True), strict=True))
    names = names or router.axes
    # count and step of each axis of the view; an axis that the plan does not have has one index
    along = [axes.get(name, (1, Step(None, 0))) for name in names]
    images = at_level.images
    chunks = images[0].levels[0].shards or images[0].levels[0].chunks
    if not set(router.axes) <= set(names):
        numbers = [0]  # of the images at index 0 of the other axes
        for count, (axis, stride) in along:
            if axis is None:
                numbers = [n + i * stride for n in numbers for i in range(count or 1)]
        at_level = replace(at_level, images=tuple(images[n] for n in numbers))
    return FrameGrid(
        plan=plan,
        router=replace(
            router,
            axes=names,
            counts=tuple(count for count, _ in along),
            steps=tuple(step for _, step in along),
            schedule=None,
        ),
        dimensions=tuple(at_level.settings.dimensions),
        frame_shape=at_level.frame_shape,
        dtype=at_level.dtype,
        chunks=(
            *(images[0].addressing.frames_along(axis, n) for axis, n in enumerate(chunks[:-2])),
            *chunks[-2:],
        ),
        images=images,
        order=tuple(names.index(a) if a in names else None for a in router.axes),
    )


def _plan_at_level(plan: Plan, level: int) -> Plan:
    """Return a plan as if the arrays of a resolution level were those of full resolution.

    Raises UnsupportedError if an image does not have this level.
    """
    if level == 0:
        return plan
    levels = min(len(image.reductions) for image in plan.images)
    if not 0 <= level <= levels:
        raise UnsupportedError(
            f"The stream does not have a resolution level {level}; its levels are 0 to {levels}. Set pyramid in the "
            f"settings to write more."
        )
    first = plan.images[0]
    chosen, names = first.reductions[level - 1], first.dims
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
        images=tuple(replace(i, levels=(i.levels[level],)) for i in plan.images),
        router=replace(plan.router, counts=tuple(counts[name] for name in plan.router.axes)),
    )


def _at_level(dimension: Dimension, factor: int, offset: float) -> Dimension:
    scale = dimension.scale or 1.0
    count = None if dimension.count is None else -(-dimension.count // factor)
    translation = (dimension.translation or 0.0) + offset * scale
    update = {"count": count, "coords": None, "scale": scale * factor, "translation": translation}
    return dimension.model_copy(update=update)
