"""Lock files of an output path: they name the process that holds the lock.

The claim, ``.NAME.claim`` beside the output, is held by repair, and by a stream while it inspects, moves or creates
the output: no other process changes the path meanwhile. The lock, inside an output directory or beside an output
file, is held by the stream from then until `close`. The claim is always acquired before the lock.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

from ome_writers.errors import InvalidFileError, OutputLockedError
from ome_writers.storage.process_identity import is_running, process_start
from ome_writers.untrusted import Limit, parse_json, read_file

LOCK_NAME = ".ome-writers.lock"

_MAX_NAME_BYTES = 150  # of the output's name in the name of a lock: file systems allow 255
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
if os.name == "nt":
    _ABSENT.add(errno.EINVAL)  # ERROR_INVALID_NAME, also of names that are too long
_ATTEMPT = re.compile(r"(?:\.[0-9a-f]{16})*(?:\.[0-9]{1,20}-[0-9]{1,20}\.tmp)?|\.progress")
_PID = re.compile(r"\.([0-9]{1,20})-[0-9]{1,20}\.tmp$")


def sibling_path(output: Path, suffix: str) -> Path:
    """Return the hidden path beside an output with this suffix, for its locks; long names are shortened."""
    name = output.name
    # the same for names that differ in case on Windows
    encoded = os.fsencode(os.path.normcase(name))
    if len(encoded) > _MAX_NAME_BYTES:
        name = encoded[: _MAX_NAME_BYTES - 20].decode(errors="ignore")
        name += f"-{hashlib.sha256(encoded).hexdigest()[:16]}"
    return output.with_name(f".{name}.{suffix}")


def lock_path(output: Path, *, folder: bool) -> Path:
    """Return the path of an output's lock: inside a directory, beside a file."""
    return output / LOCK_NAME if folder else sibling_path(output, "lock")


def progress_path(lock: Path) -> Path:
    """Return the path of the progress file beside a lock; see `progress_file`."""
    return lock.with_name(f"{lock.name}.progress")


def lock_content(*, edit: bool = False) -> bytes:
    """Return the content of a lock of this process; `edit`: which changes a closed dataset in place."""
    pid = os.getpid()
    content = {"pid": pid, "host": socket.gethostname(), "start": process_start(pid)}
    return json.dumps({**content, "edit": True} if edit else content).encode()


def is_edit(content: bytes | None) -> bool:
    """Whether a lock is that of an edit in place, which needs no repair after a crash."""
    return content is not None and b'"edit": true' in content


class LockOwner(NamedTuple):
    """The process that holds a lock; `pid` is 0 if the content of the lock is not valid."""

    pid: int
    host: str

    @property
    def is_here(self) -> bool:
        """Whether the process runs on this computer."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        if not self.pid:
            return f"a process that cannot be identified ({self.host})"
        return f"process {self.pid} on {self.host}"


def lock_owner(lock: Path) -> LockOwner | None:
    """Return the process that holds a lock; None if there is no lock, or it is stale.

    A lock is stale if its process has ended, or if it is not JSON (torn by a crash). A lock that cannot be checked
    counts as held: from another host, unreadable, or JSON that does not name a process.
    """
    return read_lock_and_owner(lock)[1]


def locked_error(lock: Path, output: Path, owner: LockOwner) -> OutputLockedError:
    """Return the error for an output whose lock another process holds."""
    return OutputLockedError(
        f"{output} is being written by {owner}. Wait until it has finished. If that process no longer exists, "
        f"remove {lock}."
    )


def is_part_of_lock(name: str, lock: str) -> bool:
    """Whether a file of this name is the lock, the progress file, or belongs to an attempt to acquire the lock."""
    return name.startswith(lock) and _ATTEMPT.fullmatch(name, len(lock)) is not None


def attempt_pid(name: str) -> int:
    """Return the process ID in the name of a file of an attempt to acquire a lock; 0 if there is none."""
    match = _PID.search(name)
    return int(match[1]) if match else 0


def read_lock_and_owner(lock: Path) -> tuple[bytes | None, LockOwner | None]:
    """Return the content of a lock (None if there is no lock) and the process that holds it."""
    try:
        content = read_lock(lock)
    except (OSError, InvalidFileError) as error:
        return b"", LockOwner(0, f"{lock.name} cannot be read: {error}")
    return content, None if content is None else _owner(lock, content)


def read_lock(lock: Path) -> bytes | None:
    """Return the content of a lock; None if there is no lock.

    Raises OSError, InvalidFileError if it cannot be read, or is not a regular file.
    """
    try:
        if lock.is_symlink():  # raises where the name or the path is too long
            raise OSError("it is a symbolic link")
        return read_file(lock, Limit.LOCK)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _owner(lock: Path, content: bytes) -> LockOwner | None:
    """Return the process that a lock names; None if it has ended, or if the lock is torn."""
    try:
        value = parse_json(content, lock)
    except InvalidFileError:
        value = None
    except ValueError:
        return None
    owner = value if isinstance(value, dict) else {}
    pid, host, start = owner.get("pid"), owner.get("host"), owner.get("start")
    if type(pid) is not int or type(host) is not str or not isinstance(start, (str, type(None))):
        return LockOwner(0, f"{lock.name} does not name a process: {content[:40]!r}")
    if host == socket.gethostname():
        # locks of earlier versions have no start time; this process did not create them
        own = start is None and pid == os.getpid()
        if own or not is_running(pid, start or ""):
            return None
    return LockOwner(pid, host)
