"""What a stream tells its listeners: in order, on a thread of its own, and never at the camera's cost.

Up to `QUEUE` frames wait for a listener that is slow; past that the oldest are left out, so that neither the
stream's speed nor its memory depends on who listens. Extents are never left out: the next update
carries them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ome_writers.routing import Plan

__all__ = ["CoordUpdate", "Events"]

QUEUE = 1024
_log = logging.getLogger("ome_writers")


@dataclass(frozen=True, slots=True)
class CoordUpdate:
    """One frame has been taken.

    Attributes
    ----------
    max_coords
        For each acquisition dimension the coordinates reached so far: names of channels and positions,
        else a range.
    current_indices
        The frame's place by dimension.
    frame_number
        Which frame it was, counted from 0.
    is_high_water_mark
        Whether a new extent was reached.
    """

    max_coords: Mapping[str, Sequence[object]]
    current_indices: Mapping[str, int]
    frame_number: int
    is_high_water_mark: bool


Callback = "Callable[[CoordUpdate], None]"


class Events:
    """The listeners of one stream, and the thread that calls them."""

    def __init__(self, plan: Plan) -> None:
        self.active = False
        self._router = plan.router
        self._dimensions = plan.settings.dimensions[:-2]
        self._frame = {d.name: range(d.count or 0) for d in plan.settings.dimensions[-2:]}
        self._extents = dict.fromkeys(plan.router.axes, 0)
        self._listeners: list[tuple[str, Callable[[CoordUpdate], None]]] = []
        self._queue: deque[tuple[int, int | Mapping[str, int]]] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def on(
        self,
        event: Literal["coords_changed", "coords_expanded"],
        callback: Callable[[CoordUpdate], None],
        *,
        seen: int = 0,
    ) -> None:
        """Have `callback` called; `seen` frames in order came before anybody listened."""
        if event not in ("coords_changed", "coords_expanded"):
            raise ValueError(
                f"Unknown event {event!r}: a stream has 'coords_changed' and 'coords_expanded'."
            )
        with self._change:
            if not self._listeners and seen:
                self._reach(self._router.highest(seen))
            self._listeners.append((event, callback))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._deliver, name="ome-writers-events", daemon=True
                )
                self._thread.start()
            self.active = not self._closed

    def frame_written(self, number: int, place: int | Mapping[str, int]) -> None:
        """Tell of frame `number`; `place` is its position in the acquisition order, or its index by axis."""
        with self._change:
            self._queue.append((number, place))
            self._change.notify()

    def close(self) -> None:
        """Deliver what waits, and end the thread."""
        with self._change:
            self._closed = True
            self.active = False
            self._change.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _deliver(self) -> None:
        while True:
            with self._change:
                while not self._queue and not self._closed:
                    self._change.wait()
                if not self._queue:
                    return
                number, place = self._queue.popleft()
                skipped = None
                while len(self._queue) > QUEUE:
                    skipped = place
                    number, place = self._queue.popleft()
            if isinstance(skipped, int):
                self._reach(self._router.highest(skipped + 1))
            self._tell(number, self._router.indices(place) if isinstance(place, int) else place)

    def _tell(self, number: int, index: Mapping[str, int]) -> None:
        grown = self._reach(index)
        update = CoordUpdate(self._coords(), dict(index), number, grown)
        for event, callback in list(self._listeners):
            if event == "coords_changed" or grown:
                try:
                    callback(update)
                except Exception:
                    _log.exception("A listener of %r raised; the stream goes on.", event)

    def _reach(self, index: Mapping[str, int]) -> bool:
        grown = False
        for name, i in index.items():
            if i >= self._extents[name]:
                self._extents[name] = i + 1
                grown = True
        return grown

    def _coords(self) -> dict[str, Sequence[object]]:
        coords: dict[str, Sequence[object]] = {}
        for dim in self._dimensions:
            extent = self._extents[dim.name]
            named = [getattr(c, "name", c) for c in (dim.coords or ())[:extent]]
            coords[dim.name] = named if len(named) == extent else range(extent)
        return {**coords, **self._frame}
