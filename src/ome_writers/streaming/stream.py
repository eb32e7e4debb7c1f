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
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from ome_writers.errors import StreamClosedError, UnclosedStreamWarning, WriteError
from ome_writers.locks import new_lock, release_locks_of_this_thread
from ome_writers.streaming import forks
from ome_writers.streaming.at_exit import close_at_exit
from ome_writers.streaming.closing import Once, uninterrupted
from ome_writers.streaming.events import Events
from ome_writers.streaming.first_frame import FirstFrameInference
from ome_writers.streaming.flush_timer import FlushTimer
from ome_writers.streaming.frame_writer import FrameWriter
from ome_writers.streaming.lifecycle import State
from ome_writers.views import Summary, html_summary, summary_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from types import TracebackType

    from numpy.typing import NDArray
    from psygnal import SignalGroup
    from typing_extensions import Self

    from ome_writers.formats import JournalEntry, Outcome
    from ome_writers.routing import Plan
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.events import CoordUpdate
    from ome_writers.streaming.recorder import Recorder
    from ome_writers.streaming.stats import StreamStats
    from ome_writers.views import StreamView

__all__ = ["OMEStream"]

_log = logging.getLogger("ome_writers")
_OPEN = State.OPEN  # before Python 3.12 to look up a member of an enum takes longer than a lock


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
        self._learning = FirstFrameInference(plan.settings)
        self._begin(plan, row, recorder)
        self._anew = anew
        self._events = Events(plan, _weakly(self))
        self._state = State.OPEN
        self._error: BaseException | None = None
        self._failed = False  # whether `close` was told that the acquisition has failed
        self._ending = Once()
        self._lock = new_lock()  # held while a frame is taken
        self._standing = threading.Lock()  # held, before any other, while the output has to stay
        self._speaking = threading.Lock()  # held, behind those, while metadata are set or asked for
        self._process = os.getpid()
        self._generation = forks.generation
        self._clock = FlushTimer(self, plan.settings.flush_interval)
        self._at_exit = close_at_exit(self)

    def _begin(self, plan: Plan, row: EngineRow, recorder: Recorder) -> FrameWriter:
        self.settings: AcquisitionSettings = plan.settings
        self._recorder = recorder
        self._intake = FrameWriter(plan, row, recorder, self._learning)
        return self._intake

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
        try:
            if self._learning.open:
                self._learn(frame, index)
            if self._generation != forks.generation:
                self._refuse_in_child()
            encoded = None
            if frame_metadata is not None:
                encoded = self._recorder.journal.encode(frame_metadata)
            if index is not None or self._intake.revisits:
                self._land(index)
            with self._lock:
                if self._state is not _OPEN or self._recorder.failed:
                    self._refuse()
                place = self._intake.take(frame, index, encoded, copy)
                if self._events.active:
                    self._events.frame_written(self._intake.accepted - 1, place)
        except Exception:
            raise
        except (
            BaseException
        ):  # Ctrl-C: the next call recovers what it has left, see `Intake.recover`
            release_locks_of_this_thread()
            raise

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

        Raises
        ------
        FrameBufferError
            If the frames that are held take all of `buffer_bytes` and the threads that hold them wait for more.
        """
        if self._generation != forks.generation:
            self._refuse_in_child()
        with self._lock:
            if self._state is not _OPEN or self._recorder.failed:
                self._refuse()
            image = self._intake.image(index)
        lender = self._intake.lender if image.planes == 1 else None
        shape, dtype = image.frame_shape, image.array.dtype
        frame = np.empty(shape, dtype) if lender is None else lender.lend(image.number)
        try:
            yield frame
            self.append(frame, index=index, copy=False, frame_metadata=frame_metadata)
        except BaseException:
            if lender is not None:
                lender.reclaim(frame)
            raise

    def skip(self, *, frames: int = 1) -> None:
        """Pass the next `frames` places without writing; they read as 0.

        Listeners are called once per `skip` that reaches a new extent, with its last place.

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
            if self._state is not _OPEN:
                self._refuse()
            positions = self._intake.skip(frames)
            if self._events.active:
                self._events.places_skipped(positions)

    # ------------------------------------------------------------------ time

    def flush(self) -> None:
        """Bring all frames taken so far to disk, visible to other readers, and return then.

        Raises
        ------
        WriteError
            If frames could not be written.
        """
        self._uninterrupted(self._flush)
        error = self._recorder.error()
        if error is not None:
            raise error

    def close(self) -> None:
        """Return when everything accepted is durable, or raise.

        A second call does nothing after a success, and raises again after a failure; while another thread closes, it
        waits for that. Ctrl-C ends the waiting and not the work: the next call waits again, and so does Python
        before it ends.

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
        if self._error is not None and not isinstance(error, WriteError):
            _log.error("%s", self._error)  # the exception that is seen is another one

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"Cannot copy or pickle the OMEStream that writes to {self.settings.output_path}: it owns threads and open "
            f"files. Pass the stream itself to other threads; other processes can read what it writes with "
            f"ome_writers.open()."
        )

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
        """Replace metadata, in the form of `get_metadata`; before or after `close`.

        Raises
        ------
        WriteError
            If it could not be written (OSError); it is kept, and written with what comes next, or by `close`.
        """
        with self._speaking:
            self._recorder.update_metadata(metadata)

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach facts to the whole acquisition; the same `namespace` replaces; before or after `close`.

        Raises
        ------
        WriteError
            If they could not be written (OSError); they are kept, and written with what comes next, or by `close`.
        """
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

        Callbacks run in order on a thread of their own. What one raises, SystemExit and KeyboardInterrupt included, is
        logged and stops neither the others nor the stream. When callbacks are so slow that more than 1,024 frames wait,
        those are left out but the latest; `close` gives callbacks one second for the frames that wait.
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
        return self._intake.plan

    def extents(self) -> Mapping[str, int]:
        """Return how far each acquisition axis was reached so far; never waits for the disk."""
        return self._intake.extents()

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return whether a frame was appended at an acquisition index; False while `append` is still storing it."""
        return self._intake.has_frame(index)

    took = has_frame  # earlier name

    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the frame at `index` (storage order) of an image, from memory or disk; zeros if unwritten."""
        return self._intake.read(image, index)

    def stats(self) -> StreamStats:
        """Return how the stream is doing."""
        return self._intake.stats()

    def summary(self) -> Summary:
        """Return path, state and numbers of frames, for display; never waits for the disk."""
        settings = self.settings
        return Summary(
            path=settings.output_path if settings.root_path else "",
            state=self._state.value,
            frames=self._intake.accepted,
            expected=self.plan.frames,
        )

    def __repr__(self) -> str:
        return self._shown(summary_line)

    def _repr_html_(self) -> str:
        return self._shown(html_summary)

    # ------------------------------------------------------------------ inside

    def _shown(self, form: Callable[[str, StreamView], str]) -> str:
        try:
            return form("OMEStream", self.view(dynamic_shape=False))
        except Exception:  # a stream that failed to begin
            return "<OMEStream, not open>"

    def _learn(self, frame: Any, index: Mapping[str, int] | None) -> None:
        """Make the output anew where the first frame of a camera is unlike what was taken for granted."""
        with self._lock:
            if self._state is not _OPEN or self._recorder.failed:
                return
            settings = self._learned(frame, index)
        if settings is not None:
            self._uninterrupted(lambda: self._begin_anew(frame, index))

    def _learned(self, frame: Any, index: Mapping[str, int] | None) -> AcquisitionSettings | None:
        intake = self._intake
        image, acquired = intake.image(index), intake.acquired(index)
        return self._learning.settings_for(frame, acquired, image, intake.plan)

    def _begin_anew(self, frame: Any, index: Mapping[str, int] | None) -> None:
        with self._standing, self._lock, self._speaking:
            if self._state is not _OPEN or self._recorder.failed or not self._learning.open:
                return
            earlier = self._intake
            settings = self._learned(frame, index)
            if settings is None:  # another thread was faster
                return
            try:
                came = earlier.came()
                begun = self._anew(settings, earlier.plan, self._recorder)
            except Exception as error:
                if not self._recorder.discarded and not isinstance(error, OSError):
                    raise  # a refusal: nothing was touched
                self._recorder.fail(error, earlier.accepted)
                self._refuse()
            if begun is not None:
                intake = self._begin(*begun)
                intake.longest = earlier.longest
                intake.repeat(came)

    def _uninterrupted(self, work: Callable[[], object]) -> None:
        """Do `work` so that Ctrl-C, which Python raises in the main thread, cannot end it part-way."""
        # A signal handler that interrupted append() may call this; its thread then already holds the lock.
        held = self._lock._is_owned()  # type: ignore[attr-defined]  # of no public name
        if held or threading.current_thread() is not threading.main_thread():
            work()
        else:
            uninterrupted(work)

    def _land(self, index: Mapping[str, int] | None) -> None:
        """Have the frame that is at `index` (None: next in order) already, if any, written before it is replaced.

        Not to be called with the lock held: the flush clock takes it inside its own.
        """
        with self._lock:
            if self._state is not _OPEN or self._recorder.failed:
                self._refuse()
            filled = self._intake.is_filled(index)
        if filled:
            self._uninterrupted(self._flush)

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
            self._recorder.flush(self._due)
        self._recorder.confirm(self._intake.accepted)

    def _due(self) -> tuple[list[JournalEntry], Outcome]:
        with self._lock:
            return self._intake.due()

    def _discard(self) -> None:
        """Remove the output and close the stream: for a writer that cannot go on and leaves nothing half done."""
        with self._standing:
            self._recorder.discard([image.array.shape for image in self._intake.plan.images])
        self._close(failed=True)

    def _close(self, *, failed: bool, unheld: bool = False) -> None:
        """Have the stream closed, and return then; `unheld` says that nobody waits who could be interrupted."""
        if self._generation != forks.generation:
            self._state = State.CLOSED  # a forked child owns neither the threads nor the files
            return
        try:
            with self._lock:
                if self._state is not State.CLOSED:
                    self._failed = failed or self._state is State.FAILED
                    self._state = State.CLOSED
            if self._ending.done:
                return
            if unheld:
                self._finish()
            else:
                self._uninterrupted(self._finish)
        except BaseException:
            release_locks_of_this_thread()
            raise

    def _finish(self) -> None:
        """Bring all to disk and end all threads, unless that is done; then tell the listeners."""
        if self._ending.do(self._end):
            if self._error is not None:
                self._events.failed(self._error)
            self._events.close()

    def _end(self) -> None:
        """Bring all to disk; what went wrong is kept in `_error`."""
        try:
            self._clock.stop()
            # what is known of frames is not to wait for the end of `close`
            if self._recorder.journal.has_pending:
                self._recorder.flush(self._due)
            self._intake.end(failed=self._failed)
            self._error = self._recorder.error()
        except Exception as error:
            self._error = error
        atexit.unregister(self._at_exit)

    def _close_unheld(self) -> None:
        """Close a stream that nobody will close any more, or wait for who is closing it."""
        if self._generation != forks.generation or self._ending.done:
            return
        frames = self._intake.accepted
        if frames and self._state is not State.CLOSED:
            warnings.warn(
                f"OMEStream was not closed before garbage collection; its {frames} frames are written now. "
                "Use `with create_stream(...)` or call `stream.close()`.",
                UnclosedStreamWarning,
                stacklevel=3,
            )
        self._close(failed=False, unheld=True)
        if self._error is not None:  # nobody is there to take the exception
            _log.error("%s", self._error)


# CPython's TypeError for an unknown keyword begins with the function's qualified name: naming the keywords there
# costs nothing per frame, where a parameter that catches wrong ones would.
OMEStream.append.__qualname__ = "OMEStream.append(frame, *, index, copy, frame_metadata)"


def _weakly(stream: OMEStream) -> Callable[[], Mapping[str, int]]:
    """Return `stream.extents` for a thread that must not keep the stream alive."""
    held = weakref.WeakMethod(stream.extents)

    def extents() -> Mapping[str, int]:
        method = held()
        return {} if method is None else method()

    return extents
