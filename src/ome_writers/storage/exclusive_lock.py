"""Acquire and release lock files: atomically, by one process at a time, also in place of a stale lock."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ome_writers.errors import OutputLockedError
from ome_writers.file_sharing import remove, retry_while_open
from ome_writers.storage.lock_file import (
    attempt_pid,
    is_edit,
    is_part_of_lock,
    lock_content,
    locked_error,
    read_lock,
    read_lock_and_owner,
    sibling_path,
)
from ome_writers.storage.process_identity import is_running

_MAX_ATTEMPTS = 20
_PARTIAL_WRITE_WAIT_S = 0.02


@dataclass(frozen=True)
class Lock:
    """A lock held by this process."""

    path: Path
    content: bytes
    replaced: bytes | None  # the content of the stale lock that it replaced; None if there was none

    def release(self, *, restore: bool = False) -> None:
        """Remove the lock; with `restore`, put back the stale lock of a writer that it replaced, for `repair`."""
        if read_lock(self.path) != self.content:
            return  # the user has removed it, and another process has acquired it since
        if restore and self.replaced is not None and not is_edit(self.replaced):
            self.path.write_bytes(self.replaced)
        else:
            _remove(self.path)


def acquire_lock(lock: Path, output: Path, *, edit: bool = False) -> Lock:
    """Acquire a lock, in place of a stale one if necessary. Of several concurrent attempts, one succeeds.

    `edit`: to change a closed dataset in place.

    Raises OutputLockedError if another process, or another thread, holds it; FileNotFoundError if the directory of the
    lock does not exist.
    """
    replaced = None
    for _ in range(_MAX_ATTEMPTS):
        # after the crash of a writer and of an edit, the lock is still that of a writer
        own = lock_content(edit=edit and (replaced is None or is_edit(replaced)))
        try:
            _create(lock, own)
        except FileExistsError:
            content, owner = read_lock_and_owner(lock)
            if owner is not None:
                raise locked_error(lock, output, owner) from None
            if content is not None and _remove_stale(lock, content, output):
                replaced = content
        else:
            return Lock(lock, own, replaced)
    raise OutputLockedError(f"{output}: several processes are acquiring its lock. Try again.")


@contextmanager
def hold_claim(output: Path) -> Iterator[Lock]:
    """Hold the claim on an output path.

    Raises OutputLockedError if another process holds it, and OSError if the claim cannot be written.
    """
    claim = acquire_lock(sibling_path(output, "claim"), output)
    try:
        yield claim
    finally:
        claim.release()


def remove_attempts(lock: Path, names: list[str]) -> None:
    """Remove files that killed processes left beside `lock` when they tried to acquire it.

    `names` are the file names in its directory. Only the holder of the lock, or of the claim that protects it, may
    call this.
    """
    for name in names:
        if name == lock.name or not is_part_of_lock(name, lock.name):
            continue
        path, pid = lock.with_name(name), attempt_pid(name)
        content, owner = read_lock_and_owner(path)
        if (pid and not is_running(pid)) or (owner is None and (content or not pid)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _create(lock: Path, content: bytes) -> None:
    """Create the lock with its complete content; FileExistsError if it exists."""
    attempt = lock.with_name(f"{lock.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        attempt.write_bytes(content)
        _publish(attempt, lock)
    finally:
        _remove(attempt)


def _publish(attempt: Path, lock: Path) -> None:
    if os.name == "nt":
        retry_while_open(lambda: os.rename(attempt, lock))  # on Windows it never replaces a file
        return
    try:
        os.link(attempt, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(attempt.read_bytes())
        except BaseException:
            lock.unlink(missing_ok=True)
            raise


def _remove_stale(lock: Path, content: bytes, output: Path) -> bool:
    """Remove a lock if its content is still `content`; return whether it was.

    Another process could replace the lock between the check and the removal. Therefore only the holder of a second
    lock, named after the content, may remove a lock with this content.
    """
    # Incomplete JSON: `_publish` may be writing it now, on a file system without hard links.
    if not content.endswith(b"}"):
        time.sleep(_PARTIAL_WRITE_WAIT_S)
    digest = hashlib.sha256(content).hexdigest()[:16]
    removal = acquire_lock(lock.with_name(f"{lock.name}.{digest}"), output)
    try:
        unchanged = read_lock(lock) == content
        if unchanged:
            _remove(lock)
        return unchanged
    finally:
        removal.release()


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        remove(path)
