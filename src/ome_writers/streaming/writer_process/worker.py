"""The writer's process: appends the frames of a ring to a stream of its own, and reports what is flushed.

It ends when the program has closed the stream, or when the program has ended: then it writes what is in the ring, and
closes the dataset. Signals that a terminal or a session manager sends do not end it.
"""

# Longer than 300 lines: the stream, the server around it, and the start of the process.

from __future__ import annotations

import json
import logging
import math
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import (
    OutputExistsError,
    SettingsError,
    StreamClosedError,
    UploadError,
    WriteError,
    describe_frames,
)
from ome_writers.settings import AcquisitionSettings
from ome_writers.storage import is_running
from ome_writers.streaming.create import create_output, log_setting_notes
from ome_writers.streaming.dataset_writer import Output
from ome_writers.streaming.resumable import find_resumable
from ome_writers.streaming.resumption import open_existing, resumed_stream
from ome_writers.streaming.stream import OMEStream
from ome_writers.streaming.writer_process.frame_ring import SKIP, Record, RingReader
from ome_writers.streaming.writer_process.messages import (
    Channel,
    Closed,
    ClosedImages,
    DerivedState,
    Failure,
    OutputState,
    Start,
    portable,
)
from ome_writers.streaming.writer_process.shared_memory import map_memory

if TYPE_CHECKING:
    from ome_writers.streaming.companions import Companions
    from ome_writers.streaming.cursor import Cursor

_POLL_INTERVAL_S = 0.002  # for new frames
_PARENT_INTERVAL_S = 1.0
_STATS_INTERVAL_S = 0.1
_IGNORED_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGTSTP", "SIGPIPE")
# Smaller frames may be written by the thread that appends them, which is faster than handing them over.
_MIN_REFERENCED_BYTES = 2**18
_OF_CURSOR = (
    "accepted",
    "replaced",
    "offset",
    "explicit",
    "skipped",
    "revisits",
    "visited",
    "_last_partial",
)


class ServedStream(OMEStream):
    """The stream in the writer's process: each flush reports the frames that it has flushed."""

    ring: RingReader | None = None

    def __init__(
        self,
        output: Output,
        create_output: Callable[[AcquisitionSettings, Companions | None], Output],
    ) -> None:
        def create(settings: AcquisitionSettings, companions: Companions | None) -> Output:
            created = create_output(settings, companions)
            self._engine = created.engine_row.name
            return created

        self._engine = output.engine_row.name
        self._continued = (
            output.stored
        )  # the frames of an earlier stream, or of the writer before this one
        self._aligned = output.stored is None  # whether the cursor is at the program's next frame
        self._numbers = [(0, 0)]  # from which frame on, difference to the program's number
        self._refused: list[
            int
        ] = []  # frames that were not appended, because the stream has failed
        self._refused_error: BaseException | None = None
        super().__init__(output, create)

    @property
    def flush_bytes(self) -> int:
        """After how many bytes of frames to flush, so that their memory is free for the next ones.

        A flush writes chunks of several planes again, therefore later.
        """
        planes = math.prod(self.plan.images[0].array.chunks[:-2])
        return self.settings.buffer_bytes // (8 if planes == 1 else 2)

    def _flush(self, *, counts_later: bool = False) -> bool:
        ring = self.ring
        if ring is None:
            return super()._flush(counts_later=counts_later)
        consumed, ring.bytes_at_flush = ring.position, ring.bytes_read
        counted = super()._flush(counts_later=counts_later)
        if not self.failed:
            ring.acknowledge(consumed)
        self.publish_stats(ring)
        return counted

    def free_memory(self) -> None:
        """Flush, so that the memory of frames on disk is free for others."""
        self._flush(counts_later=True)

    def take(self, record: Record, ring: RingReader) -> None:
        """Append the frame of a record."""
        if record.derived:
            self._take_derived(record, ring)
            return
        if record.kind == SKIP:
            if self._aligned:
                self.skip(frames=record.offset)
            return
        plan = self.plan
        image = plan.images[record.image]
        frame = ring.pixels(record.pixels_at, image.frame_shape, image.levels[0].numpy_dtype)
        index = None
        if record.acquired is not None:
            index = dict(zip(plan.router.axes, record.acquired, strict=True))
        if self._continued is not None:
            at = index or plan.router.indices(record.offset)
            if not record.replaces and self.has_frame(tuple(at.values())):
                return  # the writer before this one had flushed it
            if record.acquired is None and plan.router.revisits:
                index = at
            elif record.acquired is None:
                self._align(at)
        number = self._writer.accepted
        if record.number - number != self._numbers[-1][1]:
            self._numbers.append((number, record.number - number))
        metadata = None if record.metadata is None else json.loads(record.metadata)
        try:
            self.append(
                frame,
                index=index,
                copy=frame.nbytes < _MIN_REFERENCED_BYTES,
                frame_metadata=metadata,
            )
        except Exception as error:
            self._refused.append(record.number)
            self._refused_error = self._refused_error or error
        ring.bytes_read += frame.nbytes

    def _take_derived(self, record: Record, ring: RingReader) -> None:
        """Append a plane of derived images; again if the writer before this one may have written it."""
        derived = self._derived[record.derived - 1]
        router, image = derived.plan.router, derived.plan.images[record.image]
        frame = ring.pixels(record.pixels_at, image.frame_shape, image.levels[0].numpy_dtype)
        index = None
        if record.acquired is not None:
            index = dict(zip(router.axes, record.acquired, strict=True))
        elif record.offset != derived.writer.frames.cursor.offset:
            index = router.indices(record.offset)
        try:
            derived.append(frame, index=index, copy=frame.nbytes < _MIN_REFERENCED_BYTES)
        except StreamClosedError:
            raise
        except Exception as error:
            if not self._dataset_writer.failed:  # otherwise that is the error
                self._refused_error = self._refused_error or error
        ring.bytes_read += frame.nbytes

    def _align(self, at: dict[str, int] | None) -> None:
        """Skip to a frame in acquisition order (None: to the end): the program has skipped the ones before it."""
        if self._aligned:
            return
        self._aligned = True
        count = 0
        for index in self.remaining():
            if index == at:
                break
            count += 1
        if count:
            self.skip(frames=count)

    def align_to(self, offset: int) -> None:
        """Skip the frames in acquisition order that the program has skipped last."""
        total = self.plan.frames
        if not self._aligned and not self.plan.router.revisits and offset:
            if total is not None and offset >= total:
                self._align(None)
            elif self._writer.cursor.offset < offset:
                self._align(self.plan.router.indices(offset))

    def state(self) -> OutputState:
        """Return what the program has to know of the output."""
        dataset_writer, cursor = self._dataset_writer, self._writer.cursor
        return OutputState(
            self._writer.plan,
            dataset_writer.layout,
            self._engine,
            dataset_writer.can_carry_over,
            self._continued,
            _variables(cursor),
        )

    def failures(self) -> list[Failure]:
        """Return all failures, with the program's numbers of frames."""
        found = [
            Failure(portable(f.error), tuple(map(self._program_number, f.frames)), f.repairable)
            for f in self._dataset_writer.failures()
        ]
        if self._refused_error is not None:
            cause = self._refused_error.__cause__ or self._refused_error
            found.append(Failure(portable(cause), tuple(self._refused), False))
        return found

    @property
    def failed(self) -> bool:
        return self._dataset_writer.failed or self._refused_error is not None

    def finish(self, ring: RingReader, *, failed: bool) -> Closed:
        """Close the stream; return the result."""
        error: BaseException | None = None
        try:
            self._close(failed=failed or self.failed)
            error = self._close_error
        except Exception as raised:
            error = raised
        if not self.failed:
            ring.acknowledge(ring.position)
        self.publish_stats(ring)
        sent = None
        if error is not None and (isinstance(error, UploadError) or not self.failed):
            sent = portable(error)
        shapes = tuple(image.shape for image in self._writer.spec("complete").images)
        frames = [derived.writer.frames for derived in self._derived]
        derived = tuple(
            ClosedImages(tuple(each.current_shapes()), _variables(each.cursor)) for each in frames
        )
        return Closed(self.failures(), sent, shapes, self._dataset_writer.metadata, derived)

    def continue_images(self, start: Start) -> None:
        """Add the images that the writer before this one has added."""
        stored = self._writer.resumed
        assert stored is not None
        self._writer.resumed = stored._replace(unflushed=start.unflushed, continued=True)
        for arguments in start.derived:
            self.derive_images(*arguments)
        # It may have begun to add more, and the program requests them again: assume nothing of these.
        self._writer.resumed = stored._replace(unflushed=None, flushed=0)

    def derive_images(self, *arguments: Any) -> DerivedState:
        """Add derived images; see `OMEStream._add_derived`."""
        writer = self._add_derived(*arguments).writer
        return DerivedState(len(self._derived), writer.plan, writer.image_set.layout, writer.stored)

    def publish_stats(self, ring: RingReader) -> None:
        stats = self.stats()
        figures = (
            stats.frames_written,
            stats.bytes_written,
            stats.queue_depth,
            stats.files_mirrored,
            stats.bytes_mirrored,
            stats.bytes_evicted,
        )
        ring.publish_stats(figures)

    def _program_number(self, number: int) -> int:
        difference = next(d for start, d in reversed(self._numbers) if start <= number)
        return number + difference

    def discard(self) -> None:
        self._discard()


def _variables(cursor: Cursor) -> dict[str, Any]:
    return {name: value for name, value in vars(cursor).items() if name in _OF_CURSOR}


class Worker:
    """Serves one program: a thread appends frames, one flushes, and one per request replies."""

    def __init__(self, channel: Channel, start: Start) -> None:
        self._channel = channel
        self._parent = start.parent
        self._ring = RingReader(map_memory(start.memory), start.record_area)
        self._stream = _open(start)
        self._stream.ring = self._ring
        self._wake = threading.Event()
        self._flush_wanted = threading.Event()
        self._flushed = threading.Event()
        self._consumed = threading.Condition()
        self._closed = False
        self._behind = (
            self._ring.head
        )  # after a death: what the writer before this one did not flush
        self._reported = False
        self._close_lock = threading.Lock()
        # before the program has the stream: `record` computes from them how many frames remain
        self._stream.publish_stats(self._ring)
        channel.send(("ready", self._stream.state()))
        self._threads = [
            threading.Thread(
                target=work, name=f"ome-writers-{work.__name__.strip('_')}", daemon=True
            )
            for work in (self._consume, self._flush)
        ]
        for thread in self._threads:
            thread.start()

    def serve(self) -> None:
        """Return when the program has closed the stream, or has ended and everything is written."""
        requests = threading.Thread(target=self._receive, name="ome-writers-requests", daemon=True)
        requests.start()
        while requests.is_alive():
            requests.join(_PARENT_INTERVAL_S)
            # a process that the program has forked may have the other end of the pipe
            if os.name != "nt" and os.getppid() != self._parent:
                break
        with self._close_lock:
            if not self._closed:
                self._wake.set()
                self._wait_for(self._ring.head)
                closed = self._stream.finish(self._ring, failed=False)
                self._closed = True
                if closed.failures or closed.error is not None:
                    self._save_errors(closed)

    def _save_errors(self, closed: Closed) -> None:
        """Write the errors of closing the dataset beside it: the program, which would raise them, has ended."""
        output = self._stream.state().layout.output
        lost = {number for failure in closed.failures for number in failure.frames}
        sent = [failure.error for failure in closed.failures]
        sent += [] if closed.error is None else [closed.error]
        lines = [f"{datetime.now().astimezone().isoformat(timespec='seconds')} {output}"]
        if lost:
            lines.append(f"frames not on disk: {describe_frames(lost)}")
        lines += dict.fromkeys(f"{type(each.error).__name__}: {each.error}" for each in sent)
        for folder in (output.parent, Path(tempfile.gettempdir())):
            file_path = folder / f"{output.name}.error.txt"
            with suppress(OSError), file_path.open("a", encoding="utf-8") as file:
                file.write("\n".join([*lines, ""]))
                return

    def _receive(self) -> None:
        while not self._closed:
            message = self._channel.receive()
            if message is None:
                return
            thread = threading.Thread(target=self._reply, args=message, daemon=True)
            thread.start()
            if message[1] == "close":
                thread.join()
                return

    def _reply(self, number: int, name: str, upto: int, arguments: tuple[Any, ...]) -> None:
        try:
            if upto > self._ring.position:
                self._wake.set()
                self._wait_for(upto)
            reply = ("reply", number, True, getattr(self, f"_do_{name}")(*arguments))
        except BaseException as error:
            reply = ("reply", number, False, portable(error))
        with suppress(OSError):
            self._channel.send(reply)

    def _wait_for(self, position: int) -> None:
        with self._consumed:
            self._consumed.wait_for(lambda: self._ring.position >= position)

    # ------------------------------------------------------------------ threads

    def _consume(self) -> None:
        ring = self._ring
        next_stats = 0.0
        while not self._closed:
            flush_bytes = self._stream.flush_bytes
            for record in ring.read():
                try:
                    self._stream.take(record, ring)
                except StreamClosedError:
                    return
                ring.position = record.end
                if ring.pending_bytes > flush_bytes:
                    self._flush_wanted.set()
                    self._await_flush(flush_bytes)
            with self._consumed:
                self._consumed.notify_all()
            if self._behind and ring.position >= self._behind:
                self._behind = 0
                self._flush_wanted.set()
            if ring.pop_starving():
                self._flush_wanted.set()
            if self._stream.failed:
                self._report_failures()
            if (now := monotonic()) >= next_stats:
                next_stats = now + _STATS_INTERVAL_S
                self._stream.publish_stats(ring)
            if ring.head == ring.position:
                self._wake.wait(_POLL_INTERVAL_S)
                self._wake.clear()

    def _await_flush(self, max_bytes: int) -> None:
        """Leave the next frames in the ring while the engine has enough to do.

        A flush frees all memory that it has found in use at once, so that `append` would wait longer.
        """
        while self._ring.pending_bytes > max_bytes and not (self._closed or self._stream.failed):
            self._flushed.wait(_POLL_INTERVAL_S)
            self._flushed.clear()

    def _flush(self) -> None:
        while not self._closed:
            self._flush_wanted.wait()
            self._flush_wanted.clear()
            with suppress(Exception):  # recorded as failures
                self._stream.free_memory()
            self._flushed.set()

    def _report_failures(self) -> None:
        """Send the first failures: `append` then raises. `close` sends all of them."""
        if not self._reported:
            self._reported = True
            with suppress(OSError):
                self._channel.send(("failures", self._stream.failures()))

    # ------------------------------------------------------------------ requests

    def _do_flush(self) -> list[Failure]:
        with suppress(WriteError):
            self._stream.flush()
        return self._stream.failures()

    def _do_close(self, failed: bool, offset: int) -> Closed:
        with self._close_lock:
            self._stream.align_to(offset)
            closed = self._stream.finish(self._ring, failed=failed)
            self._closed = True
            return closed

    def _do_discard(self) -> None:
        with self._close_lock:
            self._closed = True
            self._stream.discard()

    def _do_restart(self, settings: AcquisitionSettings) -> OutputState:
        self._stream.restart(settings)
        # Acknowledge the frames now: their records in the ring have the indices of the earlier dataset.
        with suppress(WriteError):
            self._stream.flush()
        return self._stream.state()

    def _do_read(
        self, image: int, index: tuple[int, ...], level: int, derived: int
    ) -> np.ndarray[Any, Any]:
        of = self._stream.derived[derived - 1] if derived else self._stream
        return of.read(image, index, level)

    def _do_derive(self, *arguments: Any) -> DerivedState:
        return self._stream.derive_images(*arguments)

    def _do_progress(self, derived: int, name: str, *arguments: Any) -> Any:
        """Call a method of the writer of a projection: the program does not know which planes there are."""
        return getattr(self._stream.derived[derived - 1].writer, name)(*arguments)

    def _do_get_metadata(self) -> Any:
        return self._stream.get_metadata()

    def _do_update_metadata(self, metadata: Any) -> OutputState:
        self._stream.update_metadata(metadata)
        return self._stream.state()

    def _do_set_global_metadata(self, namespace: str, metadata: Any) -> OutputState:
        self._stream.set_global_metadata(namespace, metadata)
        return self._stream.state()


def _open(start: Start) -> ServedStream:
    if start.path:
        _refuse_closed_dataset(start)
        try:
            output = open_existing(start.path, start.settings, replaces_writer=start.replaces)
        except SettingsError:  # of a stream that continues: metadata that clients have updated
            if not start.replaces:
                raise
            output = open_existing(start.path, replaces_writer=True)
        stream = resumed_stream(output, ServedStream)
        try:
            if start.derived:
                stream.continue_images(start)
        except BaseException:
            output.dataset_writer.discard()
            raise
        return stream
    assert start.settings is not None
    output = create_output(start.settings, folder=start.folder)
    log_setting_notes(start.settings, output)
    try:
        return ServedStream(output, partial(create_output, folder=start.folder))
    except BaseException:
        output.dataset_writer.discard()
        raise


def _refuse_closed_dataset(start: Start) -> None:
    """Without a program, leave a dataset alone that was closed: another stream has continued it.

    The program and the writer before this one were killed.
    """
    ended = os.getppid() != start.parent if os.name != "nt" else not is_running(start.parent)
    if ended and find_resumable(start.path)[2].status != "writing":
        raise OutputExistsError(f"{start.path} was continued by another stream.")


class _SendLog(logging.Handler):
    """Sends log messages to the program."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):
            self._channel.send(("log", record.levelno, record.getMessage()))


def main() -> None:
    """Run the process that `WriterProcess` starts."""
    for name in _IGNORED_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # what libraries print must not be part of the messages
    reader, writer = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        for fd in (reader, writer):
            msvcrt.setmode(fd, os.O_BINARY)
    channel = Channel(os.fdopen(reader, "rb", buffering=0), os.fdopen(writer, "wb", buffering=0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    start = channel.receive()
    if start is None:
        return
    logger = logging.getLogger("ome_writers")
    logger.setLevel(start.log_level)
    logger.propagate = False
    logger.addHandler(_SendLog(channel))

    def send_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        with suppress(OSError):
            channel.send(("warning", category.__name__, str(message)))

    warnings.showwarning = send_warning
    try:
        worker = Worker(channel, start)
    except BaseException as error:
        with suppress(OSError):
            channel.send(("refused", portable(error)))
        return
    worker.serve()
    sys.stderr.flush()
    # everything is written: `close` of the program does not have to wait for the end of the interpreter
    os._exit(0)
