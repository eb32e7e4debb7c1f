"""Open, replace and remove files that another process may have open.

Windows refuses to replace or remove a file while another process has it open, and to open a file that is being
replaced, with "Access denied" or "Sharing violation". Readers have metadata open for milliseconds: try again. Other
platforms allow all of it; on Linux, a file that is being truncated is opened a moment later.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ome_writers.file_sync import sync

T = TypeVar("T")

_IS_MANDATORY = os.name == "nt"
_OPEN_TIMEOUT_S = 2.0
_REPLACE_TIMEOUT_S = 10.0
_FIRST_INTERVAL_S, _MAX_INTERVAL_S = 0.001, 0.02


def retry_while_open(operation: Callable[[], T], *, timeout_s: float = _OPEN_TIMEOUT_S) -> T:
    """Call `operation`; repeat it while another process has exclusive access, for `timeout_s` at most.

    Windows raises PermissionError then. Linux raises BlockingIOError if a file with a lease (see `storage.file_lease`)
    is opened with O_NONBLOCK.
    """
    refused = PermissionError if _IS_MANDATORY else BlockingIOError
    deadline = time.monotonic() + timeout_s
    interval = _FIRST_INTERVAL_S
    while True:
        try:
            return operation()
        except refused:
            if time.monotonic() + interval > deadline:
                raise
        time.sleep(interval)
        interval = min(2 * interval, _MAX_INTERVAL_S)


def rename(
    source: Path | str, target: Path | str, *, timeout_s: float = _REPLACE_TIMEOUT_S
) -> None:
    """Rename a file or directory; replace an existing file."""
    # a directory cannot be replaced, however long this waits
    if os.name != "nt" or os.path.isdir(target):
        os.replace(source, target)
        return
    retry_while_open(lambda: os.replace(source, target), timeout_s=timeout_s)


def overwrite(path: Path, content: bytes, *, durable: bool = False) -> bool:
    """Overwrite a metadata file that cannot be replaced, because a process keeps it open; return whether it was.

    Only on Windows, where readers usually share a file for writing. The content is padded with spaces to the current
    size, which XML and JSON allow, and written by one call, before the file is truncated: it is valid after either.
    """
    if not _IS_MANDATORY or path.is_symlink():
        return False
    try:
        with open(path, "r+b", buffering=0) as file:
            file.write(content.ljust(os.fstat(file.fileno()).st_size))
            truncate(file.fileno(), len(content))
            if durable:
                sync(file.fileno())
    except PermissionError:
        return False
    return True


def remove(path: Path | str) -> None:
    """Remove a file."""
    retry_while_open(lambda: os.unlink(path))


def update_timestamp(path: Path | str) -> None:
    """Set the modification time of an open file, which programs compare that copy a growing dataset.

    Windows itself guarantees it only after the file is closed.
    """
    if _IS_MANDATORY:
        # the content is on disk; the time is correct when the file is closed
        with suppress(OSError):
            os.utime(path)


def truncate(fd: int, nbytes: int) -> bool:
    """Truncate an open file; return False, with the file unchanged, where another process prevents it.

    Windows does not truncate a file that a process has mapped into memory, as ``numpy.memmap`` does.
    """
    try:
        os.ftruncate(fd, nbytes)
    except OSError as error:
        if _IS_MANDATORY and error.errno in (errno.EACCES, errno.EINVAL):
            return False
        raise
    return True
