"""`WriterProcess`: starts the writer's process, talks to it, and replaces it if it dies."""

# Longer than 300 lines: one class, the life of the process from start to end.

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, Any

from ome_writers.errors import (
    OMEWritersError,
    OutputExistsError,
    RestartError,
    UnsupportedError,
    WriteError,
)
from ome_writers.settings import AcquisitionSettings
from ome_writers.storage import WriteFailure
from ome_writers.streaming.shutdown import run_uninterrupted
from ome_writers.streaming.writer_process.frame_ring import RingWriter, ring_bytes
from ome_writers.streaming.writer_process.messages import (
    Channel,
    Closed,
    DeriveArguments,
    DerivedState,
    Failure,
    OutputState,
    Start,
    restored,
)
from ome_writers.streaming.writer_process.shared_memory import SharedMemory

_log = logging.getLogger("ome_writers")

_MAX_DEATHS = 3  # without a frame that was flushed meanwhile
_END_TIMEOUT_S = 30.0  # for a process that has closed its end of the pipe
_MAX_STDERR_BYTES = 4096
_WINDOWS_FLAGS = 0x00000200 | 0x08000000  # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
_BREAKAWAY_FROM_JOB = 0x01000000
_BOOT = (
    "import sys; sys.path[:] = sys.argv[1].split({separator!r}); "
    "from ome_writers.streaming.writer_process.worker import main; main()"
)


class _DiedError(Exception):
    """The process has died, and its successor can be asked again."""


class EndedError(WriteError):
    """The stream is closed, or is being closed by another thread."""

    def __init__(self) -> None:
        super().__init__("The writer's process has ended.")


class _NotStartedError(WriteError):
    """The process has died while it started."""


class WriterProcess:
    """The writer of one stream, and the ring with its frames.

    Parameters
    ----------
    settings, folder, path
        See `Start`.
    frame_bytes
        Size of the largest frame.
    as_stored
        Whether the settings are those of the dataset, which may have been moved.
    """

    def __init__(
        self,
        settings: AcquisitionSettings,
        folder: str,
        path: str,
        frame_bytes: int,
        *,
        as_stored: bool = False,
    ) -> None:
        self.failures: list[WriteFailure] = []
        self.deaths = 0  # processes that were replaced
        self._settings = None if as_stored else settings
        self._folder = folder
        self._path = path
        nbytes, records = ring_bytes(settings.buffer_bytes, frame_bytes)
        self._memory = SharedMemory(nbytes)
        self._record_area = records
        self.ring = RingWriter(
            self._memory.map, records, settings.buffer_bytes, self._raise_if_failed
        )
        self.error: Callable[[], BaseException | None] = lambda: None  # set by the stream
        self._ended = False
        self._given_up: BaseException | None = None
        self._state_lock = threading.Lock()  # of the channel in use, and of the list of replies
        self._replies: dict[int, SimpleQueue[tuple[bool, Any]]] = {}
        self._requests = 0
        self._derived: list[DeriveArguments] = []  # images that a process after this one continues
        self._deriving: dict[int, DeriveArguments] = {}  # by request
        self._last_requests: set[int] = set()  # after these the process ends
        self._deaths_without_progress = 0
        self._tail_at_death = -1
        self._replaced_frames: range | None = None  # of a dataset that `restart` replaces
        self._distinct_frames = 0
        self._removed = False  # whether the dataset was removed, and the process has died
        self._process: subprocess.Popen[bytes]
        self._channel: Channel
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 # closed by `_release`
        _running.add(self)
        try:
            self._launch()
            expected = settings.num_frames
            bound = settings.buffer_bytes if expected is None else expected * frame_bytes
            self.ring.prepare(min(bound, settings.buffer_bytes))  # while the process starts
            self.state = self._handshake(warn=True)
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(
            target=self._receive, name="ome-writers-process", daemon=True
        )
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    # ------------------------------------------------------------------ requests

    def call(self, name: str, *arguments: Any, upto: int = 0) -> Any:
        """Have the process run a request when it has appended everything up to a position of the ring.

        Raises what the request raises; WriteError if the process has died, and cannot be replaced.
        """
        result: list[Any] = []
        if threading.current_thread() is threading.main_thread():
            # Ctrl-C must not interrupt a message
            run_uninterrupted(lambda: result.append(self._call(name, upto, arguments)))
        else:
            result.append(self._call(name, upto, arguments))
        succeeded, value = result[0]
        if not succeeded:
            raise (self.error() if self.given_up else None) or value
        return value

    def restart(
        self, settings: AcquisitionSettings, *, accepted: int, distinct: int
    ) -> OutputState:
        """Replace the dataset, which has `distinct` of the `accepted` frames: others replaced them.

        If the process dies meanwhile, and the dataset is not the earlier one, all of these frames are among `failures`:
        flushed frames are not in the ring any more.
        """
        self._replaced_frames = range(accepted)
        self._distinct_frames = distinct
        try:
            state: OutputState = self.call("restart", settings, upto=self.ring.head)
        except RestartError:  # nothing was changed
            self._replaced_frames = None
            raise
        self.use_state(state)
        self._replaced_frames = None
        return state

    def derive(self, arguments: DeriveArguments) -> DerivedState:
        """Add derived images, of which everything that is published from now on may be a part."""
        state: DerivedState = self.call("derive", *arguments, upto=self.ring.head)
        return state

    def flush(self) -> None:
        """Return when everything in the ring is on disk, or is among `failures`."""
        try:
            self._use_failures(self.call("flush", upto=self.ring.head))
        except EndedError:  # another thread has closed the stream, which writes everything
            return
        except BaseException:
            if not self.given_up:
                raise
            self._list_lost_frames()  # `Recorder.error` names them

    @property
    def given_up(self) -> bool:
        """Whether the process has died and cannot be replaced."""
        return self._given_up is not None

    def use_state(self, state: OutputState) -> None:
        """Take note of the output that the process has created instead."""
        self.state = state
        self._settings = state.plan.settings

    def close(self, *, failed: bool, offset: int) -> Closed | None:
        """End the process; None if it has died, and could not be replaced or was not needed any more."""
        try:
            closed: Closed = self.call("close", failed, offset, upto=self.ring.head)
            self._use_failures(closed.failures)
            self.ring.reap()
        except BaseException:
            if not self.given_up:
                raise
            self._list_lost_frames()
            return None
        else:
            return closed
        finally:
            self.end()

    def end(self) -> None:
        """End the process, if it still runs, and release everything."""
        self._ended = True
        self._channel.close_writing()
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_TIMEOUT_S)
        self._release()

    def _call(self, name: str, upto: int, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        while True:
            reply: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
            with self._state_lock:
                if self._given_up is not None or self._ended:
                    return False, self._given_up or EndedError()
                self._requests += 1
                number, channel = self._requests, self._channel
                self._replies[number] = reply
                if name in ("close", "discard"):
                    self._last_requests.add(number)
                elif name == "derive":
                    self._deriving[number] = (arguments[0], arguments[1], arguments[2])
            with suppress(OSError, ValueError):  # it has died; `_replace` replies
                channel.send((number, name, upto, arguments))
            succeeded, value = reply.get()
            if succeeded or not isinstance(value, _DiedError):
                return succeeded, value

    # ------------------------------------------------------------------ the process

    def _launch(self, *, replaces: bool = False) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise UnsupportedError(
                f"writer='process' starts a Python interpreter, and this program does not have one "
                f"(sys.executable={sys.executable!r}). Use writer='thread'."
            )
        boot = _BOOT.format(separator=os.pathsep)
        paths = os.pathsep.join(os.path.abspath(each) for each in sys.path)
        windows = os.name == "nt"
        fds = () if windows else self._memory.inherited_fds
        command = [sys.executable, "-c", boot, paths]
        environment = {k: v for k, v in os.environ.items() if k != "OME_WRITERS_WRITER"}

        def start_process(flags: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=environment,
                pass_fds=fds,
                start_new_session=not windows,
                creationflags=flags,
            )

        try:
            process = start_process(_WINDOWS_FLAGS | _BREAKAWAY_FROM_JOB if windows else 0)
        except PermissionError:
            if not windows:
                raise
            # the job of this process does not allow others to leave it
            process = start_process(_WINDOWS_FLAGS)
        assert process.stdin is not None
        assert process.stdout is not None
        channel = Channel(process.stdout, process.stdin)
        self._process = process
        start = Start(
            self._settings,
            self._folder,
            self._path,
            self._memory.name,
            self._record_area,
            os.getpid(),
            _log.getEffectiveLevel(),
            replaces,
            tuple(self._derived),
            self.ring.unflushed_addresses(),
        )
        with suppress(OSError):  # it has died already; `_handshake` raises
            channel.send(start)
        # Repeat what was sent to the last process, and nothing else: this one answers what is sent from here on.
        with self._state_lock:
            self._channel = channel
            unanswered, self._replies = self._replies, {}
        for reply in unanswered.values():
            reply.put((False, _DiedError()))

    def _handshake(self, *, warn: bool) -> OutputState:
        """Return the state of the output when the process has opened it; raise what it raises."""
        while True:
            message = self._channel.receive()
            if message is None:
                raise _NotStartedError(
                    f"The writer's process ended while it started ({self._end_of_process()}). Set writer='thread', "
                    f"or repair the Python environment."
                )
            if message[0] == "ready":
                state: OutputState = message[1]
                return state
            if message[0] == "refused":
                raise restored(message[1])
            self._pass_on(message, warn=warn)

    def _receive(self) -> None:
        """Receive the messages of the process, and replace it when it dies."""
        while True:
            message = self._channel.receive()
            if message is not None:
                self._dispatch(message)
                continue
            if self._ended:
                self._answer_all(EndedError())
                return
            try:
                self._replace()
            except BaseException as error:
                self._give_up(error)
                return

    def _dispatch(self, message: tuple[Any, ...]) -> None:
        if message[0] == "reply":
            _, number, succeeded, value = message
            with self._state_lock:
                reply = self._replies.pop(number, None)
                self._ended |= number in self._last_requests and (succeeded or self._ended)
                deriving = self._deriving.pop(number, None)
                if succeeded and deriving is not None:  # before another process can be started
                    self._derived.append(deriving)
            if reply is not None:
                reply.put((succeeded, value if succeeded else restored(value)))
        elif message[0] == "failures":
            self._use_failures(message[1])
        else:
            self._pass_on(message, warn=False)

    def _pass_on(self, message: tuple[Any, ...], *, warn: bool) -> None:
        kind, level, text = message
        if kind == "log":
            _log.log(level, "%s", text)
        elif warn:
            categories = {k.__name__: k for k in (DeprecationWarning, RuntimeWarning)}
            warnings.warn(text, categories.get(level, UserWarning), stacklevel=2)
        else:
            _log.warning("%s", text)

    def _replace(self) -> None:
        """Start a new process that continues the dataset; raise if that cannot help."""
        idle = self.ring.tail == self.ring.head
        while True:
            reason = self._end_of_process()
            tail = self.ring.tail
            if idle or tail != self._tail_at_death:
                self._deaths_without_progress = 0
            self._deaths_without_progress += 1
            self._tail_at_death, idle = tail, False
            if self._deaths_without_progress >= _MAX_DEATHS:
                raise ChildProcessError(
                    f"the writer's process has died {_MAX_DEATHS} times without writing a frame, the last time with "
                    f"{reason}"
                )
            self._path = str(self.state.layout.output)
            try:
                self._launch(replaces=True)
                state = self._handshake(warn=False)
            except _NotStartedError:
                continue
            except (OMEWritersError, OSError) as error:
                if self._replaced_frames is not None:
                    raise _replacement_error(self._path, reason) from error
                if isinstance(error, FileNotFoundError) and not os.path.lexists(self._path):
                    self._removed = True
                    raise FileNotFoundError(
                        f"the writer's process has died ({reason}), and {self._path} was removed"
                    ) from error
                raise
            if not state.plan.has_arrays_of(self.state.plan) or self._lacks_frames(state):
                raise _replacement_error(self._path, reason)
            self.deaths += 1
            _log.warning(
                "%s: the writer's process has died (%s). A new one, process %d, continues the dataset; %d frames in "
                "memory are passed to it again.",
                self._path,
                reason,
                self.pid,
                len(self.ring.unflushed_frames()),
            )
            return

    def _lacks_frames(self, state: OutputState) -> bool:
        """Whether frames that were flushed before the dataset was replaced are not in the one that is there."""
        if self._replaced_frames is None or state.stored is None:
            return False
        return state.stored.total + len(self.ring.unflushed_frames()) < self._distinct_frames

    def _give_up(self, error: BaseException) -> None:
        """Fail: the frames that are not flushed are lost."""
        with self._state_lock:
            self._given_up = error
        self._list_lost_frames()
        self._answer_all(error)

    def _list_lost_frames(self) -> None:
        """Add the frames that no process has written to `failures`, now and again if `append` has added more."""
        error = self._given_up
        # a dataset is complete when all frames are written: then it has died after that
        if error is not None and not isinstance(error, OutputExistsError):
            others = [failure for failure in self.failures if failure.error is not error]
            gone = range(self.ring.frames) if self._removed else self._replaced_frames or ()
            frames = {*gone, *self.ring.unflushed_frames()}
            self.failures[:] = [*others, WriteFailure(error, tuple(sorted(frames)))]

    def _answer_all(self, error: BaseException) -> None:
        with self._state_lock:
            replies, self._replies = self._replies, {}
        for reply in replies.values():
            reply.put((False, error))

    def _end_of_process(self) -> str:
        """Wait for the end of the process, and describe it."""
        process = self._process
        try:
            code = process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._close_pipes()
        text = f"exit code {code}"
        if code < 0:
            text = f"signal {-code}"
            with suppress(ValueError):
                import signal

                text = signal.Signals(-code).name
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _MAX_STDERR_BYTES))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{text}: {lines[-1]}" if lines else text

    def _use_failures(self, failures: list[Failure]) -> None:
        """Replace `failures` by those of the process, once per number of frames."""
        if len(failures) or self.failures:
            found = [
                WriteFailure(restored(each.error), each.frames, each.repairable)
                for each in failures
            ]
            if _signature(found) != _signature(self.failures) and found:
                self.failures[:] = found

    def _raise_if_failed(self) -> None:
        error = self.error()
        if error is not None:
            raise error

    def _close_pipes(self) -> None:
        self._channel.close_writing()
        self._channel.close_reading()

    def _release(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            self._channel.close_writing()
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._close_pipes()
        self._stderr.close()
        self._memory.close()
        self.ring.close()
        _running.discard(self)

    def after_fork(self) -> None:
        """In a forked child: close the pipes, whose end tells the writer that this program has ended."""
        self._channel.after_fork()


def _replacement_error(path: str, reason: str) -> ChildProcessError:
    return ChildProcessError(
        f"the writer's process has died ({reason}) while it replaced the dataset by one with other settings. What is "
        f"at {path} was not changed since"
    )


def _signature(failures: list[WriteFailure]) -> list[tuple[str, tuple[int, ...]]]:
    return [(str(failure.error), failure.frames) for failure in failures]


_running: weakref.WeakSet[WriterProcess] = weakref.WeakSet()


def _close_inherited() -> None:
    for each in list(_running):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
