"""Locks are taken here: whole at once, by one process at a time, also in place of one whose process has ended."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers.errors import OutputLockedError
from ome_writers.storage.lock_file import (
    attempt_pid,
    is_part_of_lock,
    lock_content,
    locked_error,
    look,
    read_lock,
    retry_while_open,
    sibling_path,
)
from ome_writers.storage.process_identity import is_running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Lock", "acquire", "hold_claim", "remove_attempts"]

_TRIES = 20
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds.

    Attributes
    ----------
    path
        The lock file.
    replaced
        The content of the lock of an ended process that it replaced; None if there was none.
    """

    path: Path
    replaced: bytes | None

    def release(self, *, restore: bool = False) -> None:
        """Remove the lock; `restore` puts back the one that it replaced, as evidence for the next who comes."""
        if (
            read_lock(self.path) != lock_content()
        ):  # removed by the user, and taken by another process since
            return
        if restore and self.replaced is not None:
            self.path.write_bytes(self.replaced)
        else:
            retry_while_open(lambda: self.path.unlink(missing_ok=True))


def acquire(lock: Path, output: Path) -> Lock:
    """Make a lock, in place of one whose process has ended; of several who try, one succeeds.

    Raises
    ------
    OutputLockedError
        If another process, or another thread, holds it.
    FileNotFoundError
        If the folder of the lock does not exist.
    """
    replaced = None
    for _ in range(_TRIES):
        try:
            _create(lock)
        except FileExistsError:
            content, owner = look(lock)
            if owner is not None:
                raise locked_error(lock, output, owner) from None
            if content is not None and _remove_stale(lock, content, output):
                replaced = content
        else:
            return Lock(lock, replaced)
    raise OutputLockedError(f"{output} is being claimed by several processes. Try again.")


@contextmanager
def hold_claim(output: Path) -> Iterator[Lock]:
    """Hold the claim on an output path.

    Raises
    ------
    OutputLockedError
        If another process holds it.
    OSError
        If it cannot be made.
    """
    claim = acquire(sibling_path(output, "claim"), output)
    try:
        yield claim
    finally:
        claim.release()


def remove_attempts(lock: Path, names: list[str]) -> None:
    """Remove, of files beside `lock`, those with which processes tried to take it and were killed.

    To be called by the holder of the lock, or of the claim that protects it.
    """
    for name in names:
        if name == lock.name or not is_part_of_lock(name, lock.name):
            continue
        path, pid = lock.with_name(name), attempt_pid(name)
        content, owner = look(path)
        if (pid and not is_running(pid)) or (owner is None and (content or not pid)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _create(lock: Path) -> None:
    """Make the lock with all its content at once; FileExistsError if there is one."""
    attempt = lock.with_name(f"{lock.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        attempt.write_bytes(lock_content())
        _publish(attempt, lock)
    finally:
        retry_while_open(lambda: attempt.unlink(missing_ok=True))


def _publish(attempt: Path, lock: Path) -> None:
    if os.name == "nt":
        retry_while_open(lambda: os.rename(attempt, lock))  # which never replaces a file there
        return
    try:
        os.link(attempt, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system where each file has one name
        fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(attempt.read_bytes())
        except BaseException:
            lock.unlink(missing_ok=True)
            raise


def _remove_stale(lock: Path, content: bytes, output: Path) -> bool:
    """Remove a lock if its content is still `content`; return whether that was so.

    Between a look at a file and its removal another process may replace it. So only one process at a time may remove
    a lock of this content: the one that holds a lock named after the content.
    """
    if not content.endswith(
        b"}"
    ):  # where `_publish` has to write in two steps, it may be being written
        time.sleep(_PAUSE_S)
    digest = hashlib.sha256(content).hexdigest()[:16]
    turn = acquire(lock.with_name(f"{lock.name}.{digest}"), output)
    try:
        same = read_lock(lock) == content
        if same:
            retry_while_open(lambda: lock.unlink(missing_ok=True))
        return same
    finally:
        turn.release()
