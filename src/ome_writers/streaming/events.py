"""Events of a stream, delivered in order by a thread of their own, so that listeners do not delay `append`.

Without listeners a frame costs one check of `Events.active`. With listeners it costs one entry in a queue of
`QUEUE_FRAMES`. Every frame is reported unless listeners fall behind by more than that: then only the latest queued
frame is reported, with all extents reached until then.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Plan

if TYPE_CHECKING:
    from psygnal import SignalGroup

    from ome_writers.streaming.coord_update import CoordUpdate, EventAxes, Source

QUEUE_FRAMES = 1024
CLOSE_TIMEOUT_S = 1.0  # time that `close` gives listeners for queued frames
_POLL_INTERVAL_S = 0.005  # waking a thread for each frame would slow the camera down

EventName = Literal["coords_changed", "coords_expanded"]


class Events:
    """The listeners of one stream, and the thread that calls them.

    `extents` returns the current extent of each acquisition axis, and must not keep the stream alive.
    """

    def __init__(self, plan: Plan, extents: Callable[[], Mapping[str, int]]) -> None:
        # whether there are listeners; the stream checks this before it calls `frame_written`
        self.active = False
        self._plan: tuple[Plan, Mapping[str, int]] = (plan, {})
        # set when there are listeners: the axes of the frames that are written now, those of the latest event, and
        # the extents reported so far
        self._axes: EventAxes
        self._reported: EventAxes
        self._extents: NDArray[np.int64]
        self._stream_extents = extents
        self._listeners: list[tuple[EventName, Callable[[CoordUpdate], object]]] = []
        self._group: SignalGroup | None = None
        self._queue: deque[tuple[int, Source, EventAxes]] = deque(maxlen=QUEUE_FRAMES)
        self._enqueued = 0  # events put into the queue; only the acquisition thread writes it
        self._dequeued = 0
        self._start_lock = threading.Lock()
        self._wake = threading.Event()
        self._idle = True
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._has_failed = False  # `append` and `close` raise the same error: emit it once
        self._thread: threading.Thread | None = None

    def on(self, event: EventName, callback: Callable[[CoordUpdate], object]) -> None:
        """Call `callback` for each frame from now on, or for each that reaches a new extent."""
        if event not in ("coords_changed", "coords_expanded"):
            raise ValueError(
                f"Unknown event {event!r}: a stream has 'coords_changed' and 'coords_expanded'."
            )
        self._listeners.append((event, callback))
        self._start()

    @property
    def group(self) -> SignalGroup:
        """The same events as psygnal signals; see `OMEStream.events`."""
        if self._group is None:
            self._group = _signal_group()
            self._start()
        return self._group

    def restart(self, plan: Plan, extents: Mapping[str, int]) -> None:
        """Report the frames from now on with the axes of `plan`, of which `extents` are reached."""
        self._plan = plan, extents
        if self.active:
            self._axes = self._new_axes()

    def frame_written(self, number: int, source: int | Mapping[str, int]) -> None:
        """Queue the event of frame `number`. Only one thread at a time may call this.

        A frame in order is reported with its offset instead of its number, so that skipped frames count.
        """
        self._enqueue(source if isinstance(source, int) else number, source)

    def frames_skipped(self, offsets: range) -> None:
        """Queue the event of a `skip`; listeners are called if it reaches a new extent."""
        self._enqueue(offsets[-1], offsets)

    def _enqueue(self, number: int, source: Source) -> None:
        self._queue.append((number, source, self._axes))
        self._enqueued += 1
        if self._idle:
            self._idle = False
            self._wake.set()

    def failed(self, error: BaseException) -> None:
        """Emit `failed` with the first error of the stream."""
        if not self._has_failed:
            self._has_failed = True
            self._error = error
            self._wake.set()

    def close(self) -> None:
        """Deliver the queued events, and end the thread.

        Listeners have `CLOSE_TIMEOUT_S` for queued frames; after that only the last frame is reported. A listener that
        does not return does not block this method.
        """
        with self._start_lock:
            self.active = False
            self._closing.set()
            self._wake.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * CLOSE_TIMEOUT_S)

    # ------------------------------------------------------------------ thread

    def _start(self) -> None:
        with self._start_lock:
            if self._closing.is_set() or self.active:
                return
            self._reported = self._axes = self._new_axes()
            self.active = True  # first, so that no frame is missing from both extents and queue
            self._extents = self._reported.to_array(self._stream_extents())
            self._thread = threading.Thread(
                target=self._run, name="ome-writers-events", daemon=True
            )
            self._thread.start()

    def _new_axes(self) -> EventAxes:
        from ome_writers.streaming.coord_update import EventAxes  # most streams have no listener

        return EventAxes(*self._plan)

    def _run(self) -> None:
        while True:
            self._wait()
            closing = self._closing.is_set()  # read before the queue is emptied
            self._deliver_queue()
            if self._error is not None:
                self._emit("failed", self._error)
                self._error = None
            if closing:
                self._emit("closed")
                return

    def _wait(self) -> None:
        """Return when there is something to deliver."""
        if self._closing.wait(_POLL_INTERVAL_S):
            return
        self._idle = True  # before the queue is checked: a frame in between wakes this thread
        if self._queue or self._error is not None or self._closing.is_set():
            self._idle = False
            return
        self._wake.wait()
        self._wake.clear()

    def _deliver_queue(self) -> None:
        closing_since_s: float | None = None
        while self._queue:
            # before the queue is emptied; later events wait for the next round
            enqueued = self._enqueued
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            overflowed = enqueued > self._dequeued + len(batch)
            self._dequeued = max(enqueued, self._dequeued + len(batch))
            if overflowed:
                batch = batch[-1:]
            indices = [
                index
                for axes, entries in groupby(batch, key=lambda entry: entry[2])
                for index in axes.indices([source for _, source, _ in entries])
            ]
            omitted = overflowed
            for i, (number, source, axes) in enumerate(batch):
                last = i == len(batch) - 1
                if self._closing.is_set():
                    now_s = time.monotonic()
                    closing_since_s = now_s if closing_since_s is None else closing_since_s
                    behind = now_s - closing_since_s > CLOSE_TIMEOUT_S
                else:
                    behind = len(self._queue) == QUEUE_FRAMES
                omitted = omitted or (behind and not last)
                if last or not omitted:
                    if axes is not self._reported:  # the first frame after a restart
                        self._reported, self._extents = axes, axes.extents
                    self._deliver(number, source, indices[i], after_omitted=omitted)
                    omitted = False

    def _deliver(
        self, number: int, source: Source, index: NDArray[np.int64], *, after_omitted: bool
    ) -> None:
        """Call the listeners for one frame or skip; `after_omitted`: events before it were omitted."""
        axes = self._reported
        extents = np.maximum(self._extents, index + 1)
        if isinstance(source, range):
            highest = axes.to_array(axes.router.max_indices(source.stop))
            extents = np.maximum(extents, highest + 1)
        if after_omitted:
            extents = np.maximum(extents, axes.to_array(self._stream_extents()))
        expanded = bool((extents > self._extents).any())
        self._extents = extents
        if isinstance(source, range) and not expanded:
            return
        listeners = [(e, c) for e, c in [*self._listeners] if expanded or e == "coords_changed"]
        if not listeners and self._group is None:
            return
        from ome_writers.signals import log_listener_errors

        update = axes.update(number, index, extents, expanded=expanded)
        for event, callback in listeners:
            with log_listener_errors(event):
                callback(update)
        if self._group is not None:
            if not isinstance(source, range):
                self._emit("frame_written", number, update.current_indices)
            self._emit("coords_changed", update)
            if expanded:
                self._emit("coords_expanded", update)

    def _emit(self, name: str, *arguments: object) -> None:
        if self._group is not None:
            self._group[name].emit(*arguments)


def _signal_group() -> SignalGroup:
    """Return the signals of a stream. psygnal is imported only where it is used."""
    from psygnal import Signal, SignalGroup

    from ome_writers.signals import guarded_signal_class
    from ome_writers.streaming.coord_update import CoordUpdate

    kind = guarded_signal_class()

    class StreamEvents(SignalGroup):
        """Events of a stream, emitted on its event thread; see `OMEStream.events`."""

        frame_written = Signal(int, dict, signal_instance_class=kind)
        coords_changed = Signal(CoordUpdate, signal_instance_class=kind)
        coords_expanded = Signal(CoordUpdate, signal_instance_class=kind)
        closed = Signal(signal_instance_class=kind)
        failed = Signal(Exception, signal_instance_class=kind)

    return StreamEvents()
