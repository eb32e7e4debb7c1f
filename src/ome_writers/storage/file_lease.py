"""A lease of a file: it is ours alone for the moment in which it gets shorter.

A reader that has asked for a file's size and reads that many bytes fails when the file is cut in between. Linux lends
a file to one process: not while others have it open, and who opens it meanwhile waits until it is given back.

Source: https://man7.org/linux/man-pages/man2/F_GETLEASE.2const.html
"""

from __future__ import annotations

import errno
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "linux":
    import fcntl

_LEASES = sys.platform == "linux" and hasattr(fcntl, "F_SETLEASE") and hasattr(fcntl, "F_SETSIG")

__all__ = ["LOOK", "alone", "alone_soon"]

LOOK = 0.001
"""Seconds between two looks whether others have closed a file."""


@contextmanager
def alone(fd: int) -> Iterator[bool]:
    """Keep other processes from opening a file, and tell whether none has it open.

    True also where the system cannot tell. `fd`, open for writing, must be the only descriptor that this process has
    of the file. What is done inside should take no more than a moment.
    """
    if sys.platform != "linux" or not _LEASES:
        yield True
        return
    try:
        # who opens the file is announced by a signal: by one that does nothing, not by one that ends the process
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:  # in use, or a file system or an owner that has no leases
        yield error.errno != errno.EAGAIN
        return
    try:
        yield True
    finally:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def alone_soon(fd: int, patience: float) -> Iterator[None]:
    """Keep other processes from opening a file as soon as none has it open, or without that from `patience` on.

    `patience` is a time of `time.monotonic`; for the rest see `alone`.
    """
    while True:
        with alone(fd) as nobody_reads:
            if nobody_reads or time.monotonic() >= patience:
                yield
                return
        time.sleep(LOOK)
