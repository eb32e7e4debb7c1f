"""File access of the direct engine: a bounded number of open files, and direct I/O where it is wanted and possible.

Direct I/O bypasses the page cache, for disks that are faster than a copy into it. It requires page-aligned memory,
an aligned offset and whole pages on Linux; all other writes, and platforms without it, use the page cache.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers.file_sync import sync, sync_folder
from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.files import make_folders
from ome_writers.storage.positional_io import (
    SUPPORTS_DIRECT_IO,
    Piece,
    adjacent_runs,
    open_new,
    write_at,
    write_single,
)

_ALIGNMENT_BYTES = 4096  # a multiple of the sector size of any disk


class Disk:
    """Writes files; thread-safe."""

    def __init__(self, *, durable: bool = False, direct_io: bool = False) -> None:
        self.durable = durable  # whether new files and `sync` call fsync
        self.direct_io = direct_io  # whether writes bypass the page cache where possible
        self._direct_io_works = direct_io and SUPPORTS_DIRECT_IO
        self._handles = FileHandles(durable=durable)
        self._direct_handles = FileHandles(durable=False, direct_io=True)  # of the same files
        # see `FileHandles`
        self.use = self._handles.use
        self.sync = self._handles.sync
        self._changed_folders: set[str] = set()  # contain names that are not synced yet
        self._lock = threading.Lock()

    def write(
        self,
        path: Path,
        parts: Sequence[bytes | memoryview] | Iterator[Piece],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        """Write pieces of `sizes` bytes at `offsets` into an existing file; adjacent pieces share a system call.

        For `parts` see `adjacent_runs`; an iterator returns each piece only when it is written.
        """
        if isinstance(parts, Iterator):
            with self._handles.use(path) as fd:
                for piece, offset, nbytes in zip(parts, offsets, sizes, strict=True):
                    write_single(fd, piece, int(nbytes), int(offset))
            return
        runs = adjacent_runs(parts, offsets, sizes)
        aligned = self._direct_io_works and _are_aligned(parts)
        with self._handles.use(path) as fd:
            if aligned and not (offsets % _ALIGNMENT_BYTES).any():
                try:
                    with self._direct_handles.use(path) as direct_fd:
                        for offset, buffers in runs:
                            write_at(direct_fd, buffers, offset)
                    return
                except OSError as error:
                    self._disable_direct_io(error)
            for offset, buffers in runs:
                write_at(fd, buffers, offset)

    def create(self, path: str, content: Piece, *more: bytes | memoryview) -> None:
        """Write a new file: `content`, followed by `more`."""
        direct = self._direct_io_works and not more and _are_aligned([content])
        try:
            fd = open_new(path, direct_io=direct)
            try:
                # numpy declares arrays as buffers from Python 3.12 on only
                nbytes = memoryview(content).nbytes  # type: ignore[arg-type]  # see above
                write_single(fd, content, nbytes, 0)
                if more:
                    write_at(fd, more, nbytes)
                if self.durable:
                    sync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            if not direct:
                raise
            self._disable_direct_io(error)
            self.create(path, content, *more)

    def make_folders(self, folder: Path) -> None:
        """Create a directory and its missing parents; `sync_all` syncs their names."""
        self.mark_changed(*map(str, make_folders(folder)))

    def mark_changed(self, *folders: str) -> None:
        """Have `sync_all` sync these directories: they contain new or renamed entries."""
        if self.durable:
            with self._lock:
                self._changed_folders.update(folders)

    def sync_all(self) -> None:
        """Sync all files and directories that changed since the last call, if `durable`."""
        self._handles.sync_all()
        with self._lock:
            changed, self._changed_folders = self._changed_folders, set()
        self.sync_folders(changed)

    def sync_folders(self, folders: Iterable[str]) -> None:
        """Sync directories, if `durable`."""
        if self.durable:
            for folder in folders:
                sync_folder(folder)

    def sync_open(self, fd: int) -> None:
        """Sync an open file, if `durable`."""
        if self.durable:
            sync(fd)

    @contextmanager
    def use_exclusively(self, path: Path) -> Iterator[tuple[int, bool]]:
        """See `FileHandles.use_exclusively`."""
        self._direct_handles.forget(path)
        with self._handles.use_exclusively(path) as found:
            yield found

    def forget(self, path: Path) -> None:
        """Close a file that is not expected to be used again."""
        self._direct_handles.forget(path)
        self._handles.forget(path)

    def close(self) -> None:
        """Close all files. From now on each file is closed after its use."""
        self._direct_handles.close()
        self._handles.close()

    def _disable_direct_io(self, error: OSError) -> None:
        """Raise `error`, unless it means that the file system does not support direct I/O."""
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise error
        self._direct_io_works = False


def _are_aligned(parts: Sequence[Piece]) -> bool:
    for part in parts:
        memory = np.frombuffer(part, np.uint8)
        if memory.nbytes % _ALIGNMENT_BYTES or memory.ctypes.data % _ALIGNMENT_BYTES:
            return False
    return True
