"""Events of a stream: delivered in order, on a thread of their own, without delaying `append`.

Without listeners, a frame costs one check of `Events.active`. With listeners it costs an entry in a queue of
`QUEUE` frames: while that suffices, each frame is reported; when listeners fall behind further, only the latest of
the waiting frames is reported, together with the extents that were reached meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ome_writers.views import coordinates, guarded_signal_class, log_listener_errors, view_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from psygnal import SignalGroup

    from ome_writers.routing import Plan

    Address = int | range | Mapping[str, int]
    """A frame's position in the acquisition order, the positions that were skipped, or a whole acquisition index."""

__all__ = ["CoordUpdate", "Events"]

QUEUE = 1024
# seconds between two looks at the queue: waking a thread a frame would cost the camera
BREATH = 0.005
GRACE = 1.0  # seconds that `close` gives listeners for the frames that wait

EventName = Literal["coords_changed", "coords_expanded"]
_log = logging.getLogger("ome_writers")


@dataclass(frozen=True, slots=True)
class CoordUpdate:
    """One frame was appended, or a `skip` reached a new extent.

    Attributes
    ----------
    max_coords
        For each dimension the coordinates reached so far: names of channels and positions, else a
        range. The keys are those of `StreamView.dims`, y and x included.
    current_indices
        The frame's place by dimension (0 for y and x); of a skip the last place.
    frame_number
        Which frame it was, counted from 0; places that were skipped count.
    is_high_water_mark
        Whether a new extent was reached.
    """

    max_coords: Mapping[str, Sequence[object]]
    current_indices: Mapping[str, int]
    frame_number: int
    is_high_water_mark: bool


class _Listener(NamedTuple):
    event: EventName
    callback: Callable[[CoordUpdate], object]


class Events:
    """The listeners of one stream, and the thread that calls them.

    Parameters
    ----------
    plan
        What will happen.
    extents
        Says how far each acquisition axis was reached. It must not keep the stream alive.

    Attributes
    ----------
    active
        Whether somebody listens; the stream asks before it calls `frame_written`.
    """

    def __init__(self, plan: Plan, extents: Callable[[], Mapping[str, int]]) -> None:
        self.active = False
        self._router = plan.router
        self._dimensions = plan.settings.dimensions
        self._names = view_names(plan.settings.dimensions)
        self._ask = extents
        self._extents = np.zeros(len(plan.router.axes), dtype=np.int64)
        self._listeners: list[_Listener] = []
        self._group: SignalGroup | None = None
        self._queue: deque[tuple[int, Address]] = deque(maxlen=QUEUE)
        # frames that were put into the queue; written by the acquisition thread only
        self._taken = 0
        self._told = 0
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._idle = True
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        self._failed = False  # stays: the error of `append` comes again with `close`
        self._thread: threading.Thread | None = None

    def on(self, event: EventName, callback: Callable[[CoordUpdate], object]) -> None:
        """Have `callback` called for each frame from now on, or for each that reaches a new extent."""
        if event not in ("coords_changed", "coords_expanded"):
            raise ValueError(
                f"Unknown event {event!r}: a stream has 'coords_changed' and 'coords_expanded'."
            )
        self._listeners.append(_Listener(event, callback))
        self._start()

    @property
    def group(self) -> SignalGroup:
        """The same as psygnal signals; see `OMEStream.events`."""
        if self._group is None:
            self._group = _signal_group()
            self._start()
        return self._group

    def frame_written(self, number: int, place: Address) -> None:
        """Take note of the `number`-th frame. One thread at a time may call this.

        A frame in order is told with its position, so that skipped places count.
        """
        self._enqueue(place if isinstance(place, int) else number, place)

    def places_skipped(self, positions: range) -> None:
        """Take note of places that `skip` passed; listeners are called if they reach a new extent."""
        self._enqueue(positions[-1], positions)

    def _enqueue(self, number: int, place: Address) -> None:
        self._queue.append((number, place))
        self._taken += 1
        if self._idle:
            self._idle = False
            self._wake.set()

    def failed(self, error: BaseException) -> None:
        """Take note that the stream has failed; the first error is told."""
        if not self._failed:
            self._failed = True
            self._failure = error
            self._wake.set()

    def close(self) -> None:
        """Tell what waits, and end the thread.

        Listeners get `GRACE` seconds for the frames that wait, then the last one only. A listener that does
        not return does not keep this method: it ends on its own thread.
        """
        with self._starting:
            self.active = False
            self._closing.set()
            self._wake.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * GRACE)

    # ------------------------------------------------------------------ the thread

    def _start(self) -> None:
        with self._starting:
            if self._closing.is_set() or self.active:
                return
            self.active = True  # first, so that no frame falls between the extents and the queue
            self._extents = self._reached()
            self._thread = threading.Thread(
                target=self._run, name="ome-writers-events", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wait()
            closing = self._closing.is_set()  # asked before the queue is emptied
            self._tell_all()
            if self._failure is not None:
                self._signal("failed", self._failure)
                self._failure = None
            if closing:
                self._signal("closed")
                return

    def _wait(self) -> None:
        """Return when there is something to tell."""
        if self._closing.wait(BREATH):
            return
        self._idle = True  # first, or a frame that comes now would not wake this thread
        if self._queue or self._failure is not None or self._closing.is_set():
            self._idle = False
            return
        self._wake.wait()
        self._wake.clear()

    def _tell_all(self) -> None:
        """Tell of the frames that wait, oldest first."""
        since: float | None = None
        while self._queue:
            taken = self._taken  # before: a frame that comes now is told in the next round
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            lost = taken > self._told + len(batch)
            self._told = max(taken, self._told + len(batch))
            if lost:
                batch = batch[-1:]
            rows = self._rows([place for _, place in batch])
            for i, (number, place) in enumerate(batch):
                if self._closing.is_set():
                    since = time.monotonic() if since is None else since
                    lost = lost or (time.monotonic() - since > GRACE and i < len(batch) - 1)
                    if lost and i < len(batch) - 1:
                        continue
                behind = not self._closing.is_set() and len(self._queue) == QUEUE
                if behind and i < len(batch) - 1:
                    lost = True
                    continue
                self._tell(number, place, rows[i], caught_up=lost)
                lost = False

    def _rows(self, places: list[Address]) -> NDArray[np.int64]:
        """Return the acquisition index of each place, shape (n, axes)."""
        if all(isinstance(place, int) for place in places):
            return self._router.acquired(np.asarray(places, dtype=np.int64))
        positions = [place[-1] if isinstance(place, range) else place for place in places]
        rows = (self._router.indices(at) if isinstance(at, int) else at for at in positions)
        return np.asarray([[row[a] for a in self._router.axes] for row in rows], dtype=np.int64)

    def _tell(
        self, number: int, place: Address, row: NDArray[np.int64], *, caught_up: bool
    ) -> None:
        """Tell of one frame or skip; `caught_up` says that others before it were left out."""
        extents = np.maximum(self._extents, row + 1)
        if isinstance(place, range):
            highest = self._router.max_indices(place.stop)
            extents = np.maximum(extents, [highest[axis] + 1 for axis in self._router.axes])
        if caught_up:
            extents = np.maximum(extents, self._reached())
        grown = bool((extents > self._extents).any())
        self._extents = extents
        if isinstance(place, range) and not grown:
            return
        listeners = [x for x in list(self._listeners) if grown or x.event == "coords_changed"]
        if not listeners and self._group is None:
            return
        update = CoordUpdate(self._coords(), self._indices(row), number, grown)
        for listener in listeners:
            with log_listener_errors(listener.event):
                listener.callback(update)
        if self._group is not None:
            if not isinstance(place, range):
                self._signal("frame_written", number, update.current_indices)
            self._signal("coords_changed", update)
            if grown:
                self._signal("coords_expanded", update)

    def _signal(self, name: str, *arguments: object) -> None:
        if self._group is not None:
            self._group[name].emit(*arguments)

    def _reached(self) -> NDArray[np.int64]:
        extents = self._ask()
        return np.asarray([extents.get(a, 0) for a in self._router.axes], dtype=np.int64)

    def _indices(self, row: NDArray[np.int64]) -> dict[str, int]:
        rank = len(self._names) - 2
        return {
            **dict(zip(self._names, row.tolist(), strict=False)),
            **dict.fromkeys(self._names[rank:], 0),
        }

    def _coords(self) -> dict[str, Sequence[object]]:
        extents = [*self._extents.tolist(), *(d.count or 0 for d in self._dimensions[-2:])]
        every = zip(self._names, self._dimensions, extents, strict=True)
        return {name: coordinates(dim, extent) for name, dim, extent in every}


def _signal_group() -> SignalGroup:
    """Return the signals of a stream; psygnal is imported here, by those who use it."""
    from psygnal import Signal, SignalGroup

    kind = guarded_signal_class()

    class StreamEvents(SignalGroup):
        """What happens to a stream, told on the thread of its events.

        ``frame_written(frame_number, indices)``, ``coords_changed(update)``,
        ``coords_expanded(update)``, ``closed()`` and ``failed(error)``.
        """

        frame_written = Signal(int, dict, signal_instance_class=kind)
        coords_changed = Signal(CoordUpdate, signal_instance_class=kind)
        coords_expanded = Signal(CoordUpdate, signal_instance_class=kind)
        closed = Signal(signal_instance_class=kind)
        failed = Signal(Exception, signal_instance_class=kind)

    return StreamEvents()
