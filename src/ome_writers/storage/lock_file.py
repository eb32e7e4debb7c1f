"""Locks of an output path: files that name the process that holds them, made whole by one process at a time.

``.NAME.claim`` beside the output is held while the path is looked at, moved or created: by a stream that begins, and
by repair. It comes first: no other process changes the path while it is held. The lock, in the folder of
the output or beside its file, is held by the stream from then until `close`; it shows others who writes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ome_writers.errors import InvalidFileError, OutputLockedError
from ome_writers.storage.process_identity import is_running, process_start
from ome_writers.untrusted import Limit, parse_json, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    T = TypeVar("T")

__all__ = [
    "LOCK_NAME",
    "LockOwner",
    "attempt_pid",
    "is_part_of_lock",
    "lock_content",
    "lock_owner",
    "lock_path",
    "locked_error",
    "look",
    "read_lock",
    "retry_while_open",
    "sibling_path",
]

LOCK_NAME = ".ome-writers.lock"

_MAX_NAME_BYTES = 150  # of an output's name in a name beside it: file systems take 255 in all
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
if os.name == "nt":
    _ABSENT.add(errno.EINVAL)  # ERROR_INVALID_NAME, also of names that are too long
_TRIES = 20
_PAUSE_S = 0.02
_ATTEMPT = re.compile(r"(?:\.[0-9a-f]{16})*(?:\.[0-9]{1,20}-[0-9]{1,20}\.tmp)?")
_PID = re.compile(r"\.([0-9]{1,20})-[0-9]{1,20}\.tmp$")


def sibling_path(output: Path, ending: str) -> Path:
    """Return the hidden name beside an output with which this library marks it; long names are cut."""
    name = output.name
    encoded = os.fsencode(name)
    if len(encoded) > _MAX_NAME_BYTES:
        name = encoded[: _MAX_NAME_BYTES - 20].decode(errors="ignore")
        name += f"-{hashlib.sha256(encoded).hexdigest()[:16]}"
    return output.with_name(f".{name}.{ending}")


def lock_path(output: Path, *, folder: bool) -> Path:
    """Return the path of the lock of an output: inside a folder, beside a file."""
    return output / LOCK_NAME if folder else sibling_path(output, "lock")


def lock_content() -> bytes:
    """Return the content of a lock of this process."""
    pid = os.getpid()
    return json.dumps(
        {"pid": pid, "host": socket.gethostname(), "start": process_start(pid)}
    ).encode()


class LockOwner(NamedTuple):
    """The process that holds a lock; `pid` is 0 if the lock cannot be understood."""

    pid: int
    host: str

    def __str__(self) -> str:
        if not self.pid:
            return f"a process that cannot be identified ({self.host})"
        return f"process {self.pid} on {self.host}"


def lock_owner(lock: Path) -> LockOwner | None:
    """Return the process that holds a lock; None if there is no lock, or its process has ended.

    What cannot be checked counts as held: a lock of another host, one that may not be read, and JSON that does not
    name a process. A torn lock, which is not JSON, is what a crash left.
    """
    return look(lock)[1]


def locked_error(lock: Path, output: Path, owner: LockOwner) -> OutputLockedError:
    """Return the error for an output that a process holds by a lock."""
    return OutputLockedError(
        f"{output} is being written by {owner}. Wait for its end, or, if that process does not exist any more, "
        f"remove {lock}."
    )


def is_part_of_lock(name: str, lock: str) -> bool:
    """Whether `name` is that of a lock, or of a file with which a process tries to take it."""
    return name.startswith(lock) and _ATTEMPT.fullmatch(name, len(lock)) is not None


def attempt_pid(name: str) -> int:
    """Return the process that the name of a file with which it tries to take a lock contains; 0 if there is none."""
    match = _PID.search(name)
    return int(match[1]) if match else 0


def look(lock: Path) -> tuple[bytes | None, LockOwner | None]:
    """Return the content of a lock, None if there is no lock, and the process that holds it."""
    try:
        content = read_lock(lock)
    except (OSError, InvalidFileError) as error:
        return b"", LockOwner(0, f"{lock.name} cannot be read: {error}")
    return content, None if content is None else _owner(lock, content)


def read_lock(lock: Path) -> bytes | None:
    """Return the content of a lock; None if there is no lock.

    Raises
    ------
    OSError, InvalidFileError
        If it cannot be read, or is not a regular file.
    """
    try:
        if lock.is_symlink():  # raises where the name or the path is too long
            raise OSError("it is a symbolic link")
        return retry_while_open(lambda: read_regular(lock, Limit.LOCK))
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _owner(lock: Path, content: bytes) -> LockOwner | None:
    """Return the process that a lock names; None if it has ended, or the lock is torn."""
    try:
        document = parse_json(content, lock)
    except InvalidFileError:
        document = None
    except ValueError:
        return None
    owner = document if isinstance(document, dict) else {}
    pid, host, start = owner.get("pid"), owner.get("host"), owner.get("start")
    if type(pid) is not int or type(host) is not str or not isinstance(start, (str, type(None))):
        return LockOwner(0, f"{lock.name} does not name one: {content[:40]!r}")
    if host == socket.gethostname():
        # locks of earlier versions have no start; this process has made none of these
        own = start is None and pid == os.getpid()
        if own or not is_running(pid, start or ""):
            return None
    return LockOwner(pid, host)


def retry_while_open(operation: Callable[[], T]) -> T:
    """Do something to a file that others may have open for a moment, which Windows refuses until they close it."""
    for rest in reversed(range(_TRIES if os.name == "nt" else 1)):
        try:
            return operation()
        except PermissionError:
            if not rest:
                raise
            time.sleep(_PAUSE_S)
    raise AssertionError
