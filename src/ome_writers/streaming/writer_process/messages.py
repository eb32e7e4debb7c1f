"""Messages between a program and its writer: pickled objects on two pipes, which no other process has."""

from __future__ import annotations

import pickle
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, TypeAlias

from ome_writers.errors import OMEWritersError
from ome_writers.formats import Derivation, Layout
from ome_writers.routing import Address, Plan
from ome_writers.settings import AcquisitionSettings
from ome_writers.streaming.projection import ProjectionMethod
from ome_writers.streaming.stored_frames import StoredFrames
from ome_writers.streaming.writer_process.shared_memory import MemoryName

_LENGTH = struct.Struct("<Q")
_BLOCK_BYTES = 2**20


DeriveArguments: TypeAlias = tuple[
    Derivation, AcquisitionSettings, tuple[ProjectionMethod, str] | None
]
"""Arguments of `OMEStream._add_derived`."""


@dataclass(frozen=True)
class Start:
    """The first message: what the writer opens.

    Attributes
    ----------
    settings
        Those of the stream; None: as stored in the dataset.
    folder
        Folder of a relative path.
    path
        The dataset to continue; empty for a new one.
    memory, record_area
        See `frame_ring`.
    parent
        Process ID of the program.
    log_level
        Messages below it are not sent.
    replaces
        Whether a process has died that wrote this dataset.
    derived
        The derived images that it wrote, in order.
    unflushed
        Addresses of the frames that it had not flushed.
    """

    settings: AcquisitionSettings | None
    folder: str
    path: str
    memory: MemoryName
    record_area: int
    parent: int
    log_level: int
    replaces: bool
    derived: tuple[DeriveArguments, ...]
    unflushed: frozenset[Address]


class OutputState(NamedTuple):
    """The dataset that the writer has opened, for the program's side of the stream."""

    plan: Plan
    layout: Layout
    engine: str
    can_carry_over: bool
    stored: StoredFrames | None = None  # frames of an earlier stream
    cursor: dict[str, Any] | None = None  # variables of the cursor after a restart


class DerivedState(NamedTuple):
    """Derived images that the writer has added, for the program's side."""

    number: int  # in records, from 1
    plan: Plan
    layout: Layout
    stored: StoredFrames | None  # planes of an earlier stream


class ClosedImages(NamedTuple):
    """Derived images of a closed dataset."""

    shapes: tuple[tuple[int, ...], ...]
    cursor: dict[str, Any]  # variables of the cursor


class SentError(NamedTuple):
    """An error and its cause, which pickle drops."""

    error: BaseException
    cause: SentError | None


class Failure(NamedTuple):
    """See `storage.WriteFailure`."""

    error: SentError
    frames: tuple[int, ...]
    repairable: bool


class Closed(NamedTuple):
    """The reply to `close`: errors, and what the program needs for the closed dataset."""

    failures: list[Failure]
    error: SentError | None  # an error that is not one of writing, such as that of a mirror
    shapes: tuple[tuple[int, ...], ...]
    metadata: Any
    derived: tuple[ClosedImages, ...]


class Channel:
    """Sends and receives objects over unbuffered pipes; `send` may be called from any thread."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Raise OSError or ValueError if the other process has ended, or this one has closed the channel."""
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            remaining = memoryview(_LENGTH.pack(len(content)) + content)
            while remaining:
                remaining = remaining[self._writer.write(remaining[:_BLOCK_BYTES]) :]

    def receive(self) -> Any:
        """Return the next message; None if the other process has ended."""
        length = self._read(_LENGTH.size)
        content = None if length is None else self._read(*_LENGTH.unpack(length))
        return None if content is None else pickle.loads(content)

    def close_writing(self) -> None:
        """Let the other process find the end of its input."""
        with self._lock, suppress(OSError):
            self._writer.close()

    def close_reading(self) -> None:
        self._reader.close()

    def after_fork(self) -> None:
        """Close the copies of a forked process, where another thread may have had the lock."""
        for file in (self._reader, self._writer):
            with suppress(OSError):
                file.close()

    def _read(self, nbytes: int) -> bytes | None:
        content = bytearray()
        while len(content) < nbytes:
            try:
                block = self._reader.read(min(nbytes - len(content), _BLOCK_BYTES))
            except OSError:
                return None
            if not block:
                return None
            content += block
        return bytes(content)


def portable(error: BaseException) -> SentError:
    """Return what `restored` turns into an error of the same class, or of the nearest class that the program knows."""
    cause = None if error.__cause__ is None else portable(error.__cause__)
    with suppress(Exception):
        copied = pickle.loads(pickle.dumps(error))
        if type(copied) is type(error) and str(copied) == str(error):
            return SentError(copied, cause)
    modules = ("builtins", OMEWritersError.__module__)
    known = next(k for k in type(error).__mro__ if k.__module__ in modules)
    name = "" if known is type(error) else f"{type(error).__name__}: "
    try:
        return SentError(known(f"{name}{error}"), cause)
    except Exception:
        return SentError(RuntimeError(f"{name}{error}"), cause)


def restored(sent: SentError) -> BaseException:
    """Return the error that `portable` was called with, with its causes."""
    sent.error.__cause__ = None if sent.cause is None else restored(sent.cause)
    return sent.error
