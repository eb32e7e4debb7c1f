"""The file of an uncompressed chunk that is published while it is filled. Imported with the first of them.

Two files take turns: readers see one, and the other one gets the planes that it does not have, before it is renamed to
the name of the chunk. So readers never see a part of a plane, as if the chunk were written as a whole each time, but a
plane is written twice, however often the chunk is published. It needs a file system with hard links: otherwise the
chunk is written as a whole. So is a chunk with a checksum while a reader has had the other file open since readers saw
that one: its planes and its checksum would not match.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import CRC32C_BYTES
from ome_writers.file_sharing import remove, rename
from ome_writers.storage.disk import Disk
from ome_writers.storage.file_lease import exclusive_lease
from ome_writers.storage.positional_io import open_file, open_new, write_at


class GrowingChunk:
    """One chunk in an existing directory; with `checksum`, its CRC-32C follows it. Not thread-safe."""

    def __init__(self, folder: str, name: str, disk: Disk, *, checksum: bool) -> None:
        self.folder = folder
        self._path = f"{folder}/{name}"
        self._hidden = f"{folder}/.{name}.tmp"
        self._disk = disk
        self._checksum = checksum
        # the planes of the file that readers see, and of the hidden one; None if it is not one of the two files
        self._published: frozenset[int] | None = None
        self._spare: frozenset[int] | None = None

    def publish(self, chunk: NDArray[np.generic], planes: frozenset[int]) -> None:
        """Have readers see these planes of a chunk (planes, y, x), and zeros.

        Planes that were published before have not changed. With a durable `Disk`, the caller syncs `folder` before the
        next call, which adds planes to the file that readers saw before this one.
        """
        if planes == self._published:
            return
        try:
            self._write(chunk, planes)
            linked = self._published is not None and self._link()
            rename(self._hidden, self._path)
            if linked:
                rename(self._link_path, self._hidden)
        except BaseException:
            self.discard()
            raise
        self._spare = self._published if linked else None
        self._published = planes
        self._disk.mark_changed(self.folder)

    def discard(self) -> None:
        """Remove the hidden file; the next `publish` writes all planes."""
        self._published = self._spare = None
        for path in (self._hidden, self._link_path):
            with suppress(OSError):
                remove(path)

    def _write(self, chunk: NDArray[np.generic], planes: frozenset[int]) -> None:
        """Write the planes that the hidden file does not have."""
        with ExitStack() as stack:
            fd = self._open_hidden(chunk.nbytes + CRC32C_BYTES * self._checksum, stack)
            for first, stop in _runs(planes - (self._spare or frozenset())):
                write_at(
                    fd, [chunk[first:stop].reshape(-1).view(np.uint8).data], first * chunk[0].nbytes
                )
            if self._checksum:
                write_at(fd, [_crc32c(chunk, planes)], chunk.nbytes)
            self._disk.sync_open(fd)

    def _open_hidden(self, nbytes: int, stack: ExitStack) -> int:
        """Return the descriptor of the hidden file, which is created if there is none that can be changed."""
        if self._spare is not None:
            fd = open_file(self._hidden)
            stack.callback(os.close, fd)
            if not self._checksum or stack.enter_context(exclusive_lease(fd, required=True)):
                return fd
            remove(self._hidden)  # its readers keep it
            self._spare = None
        fd = open_new(self._hidden, sparse=True)
        stack.callback(os.close, fd)
        os.ftruncate(fd, nbytes)
        return fd

    def _link(self) -> bool:
        """Keep the file that readers see; return whether the file system can."""
        with suppress(OSError):
            os.unlink(self._link_path)
        try:
            os.link(self._path, self._link_path)
        except OSError:
            return False
        return True

    @property
    def _link_path(self) -> str:
        return f"{self._hidden[:-4]}.{os.getpid()}-{threading.get_ident()}.tmp"


def _crc32c(chunk: NDArray[np.generic], planes: frozenset[int]) -> bytes:
    """Return the checksum of a chunk with these planes, and zeros."""
    from google_crc32c import extend

    zeros, checksum = np.zeros(chunk[0].nbytes, np.uint8), 0
    for number, plane in enumerate(chunk):
        content = plane.reshape(-1).view(np.uint8) if number in planes else zeros
        checksum = int(extend(checksum, content))
    return checksum.to_bytes(CRC32C_BYTES, "little")


def _runs(numbers: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Return first and stop of each run of consecutive numbers."""
    for _, run in itertools.groupby(enumerate(sorted(numbers)), lambda each: each[1] - each[0]):
        found = [number for _, number in run]
        yield found[0], found[-1] + 1
