"""Memory that the program and its writer map. Nothing is left of it when both have ended, however they end."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from typing import NamedTuple

from ome_writers.errors import WriteError

GRANULE = 65_536
"""Sizes are multiples of this, as Windows requires of offsets."""


class MemoryName(NamedTuple):
    """What another process maps the memory by: an inherited descriptor, or on Windows the name of the mapping."""

    nbytes: int
    fd: int = -1
    tag: str = ""


class SharedMemory:
    """Zeroed memory of `nbytes`, rounded up to `GRANULE`. Pages take up memory when they are first used.

    An anonymous file in memory on Linux, which the size of ``/dev/shm`` does not limit; a named mapping on Windows; a
    mapped temporary file without a name on other platforms.

    Raises WriteError if it cannot be created.
    """

    def __init__(self, nbytes: int) -> None:
        nbytes = -(-nbytes // GRANULE) * GRANULE
        self._fd = -1
        try:
            if sys.platform == "win32":
                tag = f"ome-writers-{os.getpid()}-{os.urandom(8).hex()}"
                self.map = mmap.mmap(-1, nbytes, tagname=tag)
                self.name = MemoryName(nbytes, tag=tag)
                return
            if sys.platform == "linux":
                self._fd = os.memfd_create("ome-writers")
            else:
                self._fd, path = tempfile.mkstemp(prefix="ome-writers-")
                os.unlink(path)
            os.ftruncate(self._fd, nbytes)
            self.map = mmap.mmap(self._fd, nbytes)
        except (OSError, OverflowError, ValueError) as error:
            self.close()
            raise WriteError(
                f"The memory shared with the writer's process could not be created ({nbytes} bytes, from "
                f"buffer_bytes): {type(error).__name__}: {error}. Set a smaller buffer_bytes, or writer='thread'."
            ) from error
        self.name = MemoryName(nbytes, self._fd)

    @property
    def inherited_fds(self) -> tuple[int, ...]:
        """Descriptors that the other process must inherit."""
        return (self._fd,) if self._fd >= 0 else ()

    def close(self) -> None:
        """Close the descriptor. The mapping ends with the last array that refers to it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def map_memory(name: MemoryName) -> mmap.mmap:
    """Return the mapping of the memory that another process has created."""
    if sys.platform == "win32":
        return mmap.mmap(-1, name.nbytes, tagname=name.tag)
    mapped = mmap.mmap(name.fd, name.nbytes)
    os.close(name.fd)
    return mapped
