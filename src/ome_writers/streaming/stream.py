"""The stream: frames in, errors out, everything accepted on disk when it is closed."""

# Longer than 300 lines: the one public object, half of it documentation; what it does lies in the room.
from __future__ import annotations

import atexit
import logging
import os
import threading
import warnings
import weakref
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from ome_writers.errors import (
    StreamClosedError,
    UnclosedStreamWarning,
    UnsupportedError,
)
from ome_writers.formats import Outcome
from ome_writers.routing import Progress
from ome_writers.streaming import forks
from ome_writers.streaming.at_exit import close_at_exit
from ome_writers.streaming.clock import Clock
from ome_writers.streaming.events import Events
from ome_writers.streaming.frames import as_frame
from ome_writers.streaming.learning import Learning, Step
from ome_writers.streaming.lifecycle import State
from ome_writers.streaming.placement import Placement
from ome_writers.streaming.planes import planes_of, read_frame
from ome_writers.streaming.sampling import Sampler
from ome_writers.streaming.stats import StreamStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from psygnal import SignalGroup
    from typing_extensions import Self

    from ome_writers.formats.documents import Status
    from ome_writers.formats.frame_metadata import Record
    from ome_writers.routing import Address, Plan
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.events import CoordUpdate
    from ome_writers.streaming.recorder import Recorder
    from ome_writers.views import StreamView

__all__ = ["OMEStream"]

_log = logging.getLogger("ome_writers")


class OMEStream:
    """Takes the frames of one acquisition, in order, and writes them.

    Made by `create_stream`. Use it as a context manager, or call `close`: only then all that `append` took is on
    disk, or an error says what is not. All methods may be called from any thread; frames that
    several threads append get their places in the order in which the threads get the stream's lock.

    Attributes
    ----------
    settings
        The settings in force: a copy of those that the stream was created with.
    """

    def __init__(
        self,
        plan: Plan,
        row: EngineRow,
        recorder: Recorder,
        anew: Callable[
            [AcquisitionSettings, Plan, Recorder], tuple[Plan, EngineRow, Recorder] | None
        ],
    ) -> None:
        self._begin(plan, row, recorder)
        self._anew = anew
        self._learning = Learning(plan.settings)
        self._events = Events(plan, _weakly(self))
        self._state = State.OPEN
        self._longest = 0.0
        self._error: BaseException | None = None
        self._lock = threading.RLock()  # held while a frame is taken
        self._standing = threading.Lock()  # held, before any other, while the output has to stay
        self._speaking = threading.Lock()  # held, behind those, while metadata are set or asked for
        self._process = os.getpid()
        self._generation = forks.generation
        self._clock = Clock(self, plan.settings.flush_interval)
        self._at_exit = close_at_exit(self)

    def _begin(self, plan: Plan, row: EngineRow, recorder: Recorder) -> None:
        self.settings: AcquisitionSettings = plan.settings
        self._plan = plan
        self._engine = recorder.engine
        self._recorder = recorder
        self._row = row
        self._placement = Placement(plan)
        self._progress = Progress(plan)
        self._sampler = Sampler(plan)
        self._images = plan.images
        self._accepted = 0
        self._planes = 0  # of the frames that were accepted

    # ------------------------------------------------------------------ frames

    def append(
        self,
        frame: Any,
        *,
        index: Mapping[str, int] | None = None,
        copy: bool = True,
        frame_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Take one frame.

        Parameters
        ----------
        frame
            Array of the settings' dtype and shape: (y, x), or (y, x, 3) with ``rgb=True``, or where ``rgb`` was left
            open and the first frame is so. Of several cameras, what the settings say of each; where they say
            nothing, what its first frame is.
        index
            Where it goes, by acquisition axis, as in ``{"t": 3, "c": 0}``; axes left out count on in order. None:
            the next place in acquisition order. A place may be filled again; the last frame stays.
        copy
            False hands the array over: the stream keeps a reference until the frame is written, and the caller
            must not change it any more. With True the caller may reuse the array at once.
        frame_metadata
            Facts about this frame. ``delta_t`` and ``exposure_time`` (seconds), ``position_x``,
            ``position_y`` and ``position_z`` (micrometer) have a place in both formats; others are kept.

        Raises
        ------
        FrameShapeError, FrameTypeError
            A wrong frame (ValueError, TypeError); the stream is where it was.
        MetadataError
            Metadata that JSON cannot hold (ValueError); the stream is where it was.
        EndOfAcquisitionError
            One frame too many (IndexError).
        StreamClosedError
            The stream is closed (RuntimeError).
        WriteError
            Frames taken earlier could not be written (OSError); its `frames` names them.
        """
        if self._learning.open:
            self._learn(frame, index)
        if self._generation != forks.generation:
            self._refuse_in_child()
        encoded = None if frame_metadata is None else self._recorder.journal.encode(frame_metadata)
        if index is not None or self._placement.revisits:
            self._land(index)
        with self._lock:
            if self._state is not State.OPEN or self._recorder.failed:
                self._refuse()
            acquired = None if index is None else self._locate(index)
            self._take(frame, index, acquired, encoded, copy)
            if self._events.active:
                place = self._placement.position - 1 if acquired is None else acquired
                self._events.frame_written(self._accepted - 1, place)

    @contextmanager
    def frame_buffer(
        self,
        *,
        index: Mapping[str, int] | None = None,
        frame_metadata: MutableMapping[str, Any] | None = None,
    ) -> Iterator[NDArray[np.generic]]:
        """Lend a writable frame inside the stream's own memory, for a camera to read into.

        Leaving the block appends it without a copy; an exception gives it back unwritten. `frame_metadata` is
        read when the block is left, so that it may be filled inside.

        Yields
        ------
        numpy.ndarray
            Of the settings' dtype and shape, its content undefined.
        """
        if self._generation != forks.generation:
            self._refuse_in_child()
        with self._lock:
            if self._state is not State.OPEN or self._recorder.failed:
                self._refuse()
            address = (
                self._placement.upcoming() if index is None else self._place(self._locate(index))
            )
        image = self._images[address[0]]
        lend = getattr(self._engine, "lend", None) if image.planes == 1 else None
        shape, dtype = image.frame_shape, image.array.dtype
        frame = np.empty(shape, dtype) if lend is None else lend(image.number)
        try:
            yield frame
            self.append(frame, index=index, copy=False, frame_metadata=frame_metadata)
        except BaseException:
            if lend is not None:
                self._engine.reclaim(frame)  # type: ignore[attr-defined]  # who lends also takes back
            raise

    def skip(self, *, frames: int = 1) -> None:
        """Pass the next `frames` places without writing; they read as 0.

        Raises
        ------
        ValueError
            If `frames` is not positive.
        EndOfAcquisitionError
            If that leads past the end (IndexError); the stream is where it was.
        """
        if self._generation != forks.generation:
            self._refuse_in_child()
        with self._lock:
            if self._state is not State.OPEN:
                self._refuse()
            self._placement.skip(frames)
            if self._learning.open:
                self._learning.note(Step(None, skipped=frames), None, 0)

    # ------------------------------------------------------------------ time

    def flush(self) -> None:
        """Bring all frames taken so far to disk, visible to other readers, and return then.

        Raises
        ------
        WriteError
            If frames could not be written.
        """
        self._flush()
        error = self._recorder.error()
        if error is not None:
            raise error

    def close(self) -> None:
        """Return when everything accepted is durable, or raise.

        A second call does nothing after a success, and raises again after a failure.

        Raises
        ------
        WriteError
            If frames are not on disk; its `frames` names them.
        """
        self._close(failed=False)
        if self._error is not None:
            raise self._error

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._state is State.CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close(failed=error is not None)
        if self._error is not None and error is None:
            raise self._error

    def __del__(self) -> None:
        # a stream that failed to begin has no lock yet
        if getattr(self, "_at_exit", None) is None or self._state is State.CLOSED:
            return
        self._close_unheld()

    # ------------------------------------------------------------------ metadata

    def get_metadata(self) -> Any:
        """Return the dataset's metadata: a copy, to be changed and given to `update_metadata`.

        OME-Zarr: group path to attributes. OME-TIFF: position number to `ome_types.model.OME`.
        """
        with self._speaking:
            return self._recorder.get_metadata()

    def update_metadata(self, metadata: Any) -> None:
        """Replace metadata, in the form of `get_metadata`; before or after `close`."""
        with self._speaking:
            self._recorder.update_metadata(metadata)

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach facts to the whole acquisition; the same `namespace` replaces; before or after `close`."""
        with self._speaking:
            self._recorder.set_global_metadata(namespace, metadata)

    # ------------------------------------------------------------------ looking

    def view(self, *, dynamic_shape: bool = True, strict: bool = False) -> StreamView:
        """Return a read-only array of the whole acquisition, live and after `close`; see `StreamView`."""
        from ome_writers.views import StreamView

        return StreamView.of(self, dynamic_shape=dynamic_shape, strict=strict)

    def on(
        self,
        event: Literal["coords_changed", "coords_expanded"],
        callback: Callable[[CoordUpdate], None],
    ) -> None:
        """Have `callback` called for every frame from now on, or when a new extent is reached.

        Callbacks run in order on a thread of their own. What one raises is logged and stops neither the others nor
        the stream. When callbacks are so slow that more than 1,024 frames wait, those are left out but the latest;
        `close` gives callbacks one second for the frames that wait.
        """
        self._events.on(event, callback)

    @property
    def events(self) -> SignalGroup:
        """The stream's psygnal signals, emitted on a thread of their own as `on` tells.

        ``frame_written(frame_number, indices)``, ``coords_changed(update)``,
        ``coords_expanded(update)``, ``closed()`` and ``failed(error)``.
        """
        return self._events.group

    @property
    def plan(self) -> Plan:
        """What was resolved from the settings."""
        return self._plan

    def extents(self) -> Mapping[str, int]:
        """Return how far each acquisition axis was reached so far; never waits for the disk."""
        self._progress.advance(self._placement.position)
        return self._progress.extents

    def took(self, index: tuple[int, ...]) -> bool:
        """Whether a frame may be at an acquisition index: it was taken, not only begun to be."""
        number = self._plan.router.number(index)
        if number is None or number < self._placement.position:
            return True
        explicit = self._placement.explicit
        return bool(explicit) and self._plan.router.place(index) in explicit

    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the frame at `index` (storage order) of an image, from memory or disk; zeros if unwritten."""
        return read_frame(self._engine, self._images[image], index)

    def stats(self) -> StreamStats:
        """Return how the stream is doing."""
        engine = self._engine.stats()
        return StreamStats(
            frames_accepted=self._accepted,
            frames_written=engine.frames_written * self._accepted // (self._planes or 1),
            bytes_written=engine.bytes_written,
            queue_depth=engine.queue_depth,
            longest_append=self._longest,
        )

    # ------------------------------------------------------------------ inside

    def _take(
        self,
        frame: Any,
        index: Mapping[str, int] | None,
        acquired: Mapping[str, int] | None,
        encoded: bytes | None,
        copy: bool,
    ) -> None:
        """Give a frame its place, and have it written; with the lock held."""
        address = self._placement.next if acquired is None else self._place(acquired)
        if address is None:
            address = self._placement.upcoming()  # raises: there is none
        number = self._accepted
        one, at = self._images[address[0]], address[1]
        shape, dtype = one.frame_shape, one.array.dtype
        if type(frame) is not np.ndarray or frame.shape != shape or frame.dtype != dtype:
            frame = as_frame(frame, shape, dtype)
        began = perf_counter()
        if one.planes == 1:
            self._engine.write(number, one.number, at, frame, not copy)
        else:
            for at_plane, plane in planes_of(frame, at, one):
                self._engine.write(number, one.number, at_plane, plane, True)
        waited = perf_counter() - began
        if waited > self._longest:
            self._longest = waited
        self._accepted = number + 1
        self._planes += one.planes
        if self._learning.open:
            where = acquired or self._plan.router.indices(self._placement.position)
            self._learning.note(Step(address, index, encoded), where, frame.nbytes)
        if index is None or acquired is None:
            self._placement.advance()
        else:
            self._placement.fill(index, address)
            self._progress.include(acquired, address)
        if encoded is not None:
            self._recorder.journal.record(one.number, one.plane(at), encoded)
        if number >= self._sampler.due:
            for at_plane, plane in planes_of(frame, at, one):
                self._sampler.look(number, one.number, at_plane, plane)

    def _learn(self, frame: Any, index: Mapping[str, int] | None) -> None:
        """Make the output anew where the first frame of a camera is unlike what was taken for granted."""
        with self._standing, self._lock, self._speaking:
            if self._state is not State.OPEN or self._recorder.failed or not self._learning.open:
                return
            if index is None:
                image = self._images[self._placement.upcoming()[0]]
                acquired = self._plan.router.indices(self._placement.position)
            else:
                acquired = self._locate(index)
                image = self._images[self._place(acquired)[0]]
            settings = self._learning.settings_for(frame, acquired, image, self._plan)
            if settings is None:
                return
            try:
                came = [
                    (step, None if step.address is None else self.read(*step.address))
                    for step in self._learning.steps
                ]
                begun = self._anew(settings, self._plan, self._recorder)
            except Exception as error:
                if not self._recorder.discarded and not isinstance(error, OSError):
                    raise  # a refusal: nothing was touched
                self._recorder.fail(error, self._accepted)
                self._refuse()
            if begun is not None:
                self._begin(*begun)
                self._repeat(came)

    def _repeat(self, came: Sequence[tuple[Step, NDArray[np.generic] | None]]) -> None:
        """Do again what was done with an output that was replaced."""
        self._learning.steps.clear()
        for step, frame in came:
            if frame is None:
                self._placement.skip(step.skipped)
                self._learning.steps.append(step)
            else:
                acquired = None if step.named is None else self._locate(step.named)
                self._take(frame, step.named, acquired, step.encoded, copy=False)

    def _locate(self, index: Mapping[str, int]) -> dict[str, int]:
        """Return the whole acquisition index that an explicit index names."""
        if not self._row.random_access:
            raise UnsupportedError(
                f"Backend {self._row.name!r} takes frames in order only: index={dict(index)} cannot be addressed."
            )
        return self._placement.locate(index)

    def _place(self, acquired: Mapping[str, int]) -> Address:
        return self._plan.router.place(list(acquired.values()))

    def _land(self, index: Mapping[str, int] | None) -> None:
        """Have the frame that is at `index` (None: next in order) already, if any, written before it is replaced.

        Not to be called with the lock held: the flush clock takes it inside its own.
        """
        with self._lock:
            if self._state is not State.OPEN or self._recorder.failed:
                self._refuse()
            if index is None:
                filled = self._placement.comes_again()
            else:
                filled = self._placement.is_filled(self._place(self._locate(index)))
        if filled:
            self._flush()

    def _refuse(self) -> NoReturn:
        if self._state is State.CLOSED:
            raise StreamClosedError(
                "The stream is closed and takes no more frames. Create a new one with create_stream()."
            )
        self._state = self._state.after_failure()
        error = self._recorder.error()
        assert error is not None
        self._events.failed(error)
        raise error

    def _refuse_in_child(self) -> None:
        """Refuse a forked child, which has no threads to write with; a lock may be held for ever there."""
        raise StreamClosedError(
            f"The stream belongs to process {self._process}; the child that was forked from it "
            f"({os.getpid()}) cannot write to it. Create a stream after the fork, with its own path."
        )

    def _tick(self) -> None:
        if self._generation == forks.generation and self._state is not State.CLOSED:
            with suppress(Exception):  # kept in failures, raised at the next append
                self._flush()

    def _flush(self) -> None:
        if self._generation != forks.generation:
            self._refuse_in_child()
        with self._standing:
            self._recorder.flush(self._taken)
        self._recorder.confirm(self._accepted)

    def _taken(self) -> tuple[list[Record], list[tuple[int, ...]]]:
        """Return what a flush has to bring to disk: lines of frame metadata, and shapes."""
        with self._lock:
            self._progress.advance(self._placement.position)
            return self._recorder.journal.take(), self._progress.shapes()

    def _close(self, *, failed: bool) -> None:
        if self._generation != forks.generation:
            self._state = State.CLOSED  # a forked child owns neither the threads nor the files
            return
        with self._lock:
            if self._state is State.CLOSED:
                return
            failed = failed or self._state is State.FAILED
            self._state = State.CLOSED
        self._clock.stop()
        atexit.unregister(self._at_exit)
        # what is known of frames is not to wait for the end of `close`
        if self._recorder.journal.waiting:
            self._recorder.flush(self._taken)
        whole = self._placement.reached_end
        trim = self.settings.on_incomplete == "trim" and not whole
        self._progress.advance(self._placement.position)
        shapes = self._progress.final_shapes(trim=trim)
        self._recorder.close_pixels(shapes)
        self._recorder.confirm(self._accepted)
        status: Status = "complete" if whole else "cancelled"
        if failed or self._recorder.failed:
            status = "failed"
        windows = self._sampler.windows
        self._recorder.close_documents(Outcome(status, self._accepted, tuple(shapes), windows))
        self._error = self._recorder.error()
        if self._error is not None:
            self._events.failed(self._error)
        self._events.close()

    def _close_unheld(self) -> None:
        """Close a stream that nobody will close any more."""
        if self._generation != forks.generation:
            return
        if self._accepted:
            warnings.warn(
                f"OMEStream was not closed before garbage collection; its {self._accepted} frames are written now. "
                "Use `with create_stream(...)` or call `stream.close()`.",
                UnclosedStreamWarning,
                stacklevel=3,
            )
        try:
            self._close(failed=False)
        except Exception as error:
            self._error = error
        if self._error is not None:  # nobody is there to take the exception
            _log.error("%s", self._error)


def _weakly(stream: OMEStream) -> Callable[[], Mapping[str, int]]:
    """Return `stream.extents` for a thread that must not keep the stream alive."""
    held = weakref.WeakMethod(stream.extents)

    def extents() -> Mapping[str, int]:
        method = held()
        return {} if method is None else method()

    return extents
