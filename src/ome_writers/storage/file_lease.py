"""Exclusive leases: exclusive access to a file for the moment in which it is truncated.

A reader that caches the file size at open and then reads that many bytes fails if the file is truncated in between.
Linux grants a write lease only while no other process has the file open, and blocks later opens until it is released.

Source: https://man7.org/linux/man-pages/man2/F_GETLEASE.2const.html
"""

from __future__ import annotations

import errno
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform == "linux":
    import fcntl

POLL_INTERVAL_S = 0.001
SUPPORTS_LEASES = (
    sys.platform == "linux" and hasattr(fcntl, "F_SETLEASE") and hasattr(fcntl, "F_SETSIG")
)


@contextmanager
def exclusive_lease(fd: int, *, timeout_s: float = 0.0, required: bool = False) -> Iterator[bool]:
    """Block other processes from opening a file; yield whether the access is exclusive.

    After `timeout_s` the block runs without a lease, with False, if another process still has the file open.
    Where the platform or the file system has no leases, yields True, or False if one is `required`.

    `fd`, open for writing, must be this process's only descriptor of the file. Keep the block short: processes that
    open the file wait for its end.
    """
    deadline = time.monotonic() + timeout_s
    exclusive = _acquire(fd)
    while exclusive is False and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_S)
        exclusive = _acquire(fd)
    try:
        yield exclusive if exclusive is not None else not required
    finally:
        if exclusive:
            _release(fd)


def _acquire(fd: int) -> bool | None:
    """Return True if the lease was acquired, False if the file is in use, None if leases are not supported."""
    if sys.platform == "linux" and SUPPORTS_LEASES:
        try:
            # The kernel announces other opens with a signal: choose one that is ignored by default.
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            return False if error.errno == errno.EAGAIN else None
        return True
    return None


def _release(fd: int) -> None:
    if sys.platform == "linux":
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
