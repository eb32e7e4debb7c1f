"""A stream as the source of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import Plan

__all__ = ["LiveSource", "Stream"]


class Stream(Protocol):
    """What a view needs of a stream."""

    @property
    def plan(self) -> Plan: ...
    def extents(self) -> Mapping[str, int]: ...
    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]: ...
    def on(self, event: Any, callback: Callable[[Any], None]) -> None: ...


class LiveSource:
    """Planes, extents and changes of a stream; see `Source`."""

    coords_changed = Signal()

    def __init__(self, stream: Stream) -> None:
        plan = stream.plan
        self._stream = stream
        self._plan = plan
        self._connected = False
        first = plan.images[0].array
        self.dtype: np.dtype[np.generic] = first.dtype
        self._dimensions = plan.settings.dimensions
        names = ["p" if d.type == "position" else d.name for d in self._dimensions]
        self._samples = first.samples * plan.planes
        self.dims = (*names, "s") if self._samples > 1 else tuple(names)
        stream.on("coords_expanded", lambda _: self.coords_changed.emit())

    def full_shape(self) -> tuple[int, ...]:
        """Return the planned shape; an axis without end is as long as it has become."""
        reached = self._stream.extents()
        shape = tuple(
            reached[d.name] if d.count is None else d.count for d in self._dimensions
        )
        return (*shape, self._samples) if self._samples > 1 else shape

    def extents(self) -> tuple[int, ...]:
        """Return what was reached of each axis but those of a frame."""
        reached = self._stream.extents()
        return tuple(reached[d.name] for d in self._dimensions[:-2])

    def coords(self, extents: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return the coordinates up to `extents`."""
        coords: dict[str, Sequence[Any]] = {}
        for name, dim, extent in zip(self.dims, self._dimensions, extents, strict=False):
            named = [getattr(c, "name", c) for c in (dim.coords or ())[:extent]]
            coords[name] = named if named and len(named) == extent else range(extent)
        if self._samples > 1:
            coords["s"] = range(self._samples)
        return coords

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return the frame at an acquisition index; None where none can be."""
        image, at = self._plan.router.place(index)
        if not 0 <= image < len(self._plan.images):
            return None
        array = self._plan.images[image].array
        for i, (place, extent) in enumerate(zip(at, array.index_shape, strict=True)):
            if i != array.growing and place >= extent:
                return None
        return self._stream.read(image, at)
