"""How the files of a dataset are written: a bounded number of them open, and past the page cache where that is wanted.

The page cache is passed by for disks that are quicker than a copy into it. The system takes such a write only from
page-aligned memory to an aligned offset, in whole pages. Whatever is not aligned is written as always, and so is
everything where the platform or the file system cannot.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.files import make_folders, sync_folder
from ome_writers.storage.positional_io import open_new, write_apart, write_one

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.positional_io import Piece

__all__ = ["Disk"]

_ALIGNED = 4096  # bytes: a multiple of what any disk asks for
_O_DIRECT: int = getattr(os, "O_DIRECT", 0)


class Disk:
    """Writes files; safe to use from any thread.

    Attributes
    ----------
    durable
        Whether new files and `sync` force data to the medium.
    direct_io
        Whether writes pass by the page cache where they can.
    use, sync
        See `FileHandles`.
    """

    def __init__(self, *, durable: bool = False, direct_io: bool = False) -> None:
        self.durable = durable
        self.direct_io = direct_io
        self._passing = direct_io and _O_DIRECT != 0
        self._handles = FileHandles(durable=durable)
        self._aside = FileHandles(
            durable=False, flags=_O_DIRECT
        )  # of the same files, past the cache
        self.use = self._handles.use
        self.sync = self._handles.sync
        self._changed: set[str] = set()  # folders with names that are not on the medium yet
        self._lock = threading.Lock()

    def write(
        self,
        path: Path,
        parts: Sequence[bytes | memoryview],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        """Write pieces into an existing file, as `positional.write_apart`."""
        with self._handles.use(path) as fd:
            if self._passing and _are_aligned(parts) and not (offsets % _ALIGNED).any():
                with self._trying(), self._aside.use(path) as aside:
                    return write_apart(aside, parts, offsets, sizes)
            return write_apart(fd, parts, offsets, sizes)

    def create(self, path: str, content: Piece) -> None:
        """Write a new file."""
        if self._passing and _are_aligned([content]):
            with self._trying():
                return self._create(path, content, _O_DIRECT)
        return self._create(path, content, 0)

    def make_folders(self, folder: Path) -> None:
        """Make a folder and its missing parents; `sync_all` forces their names to the medium."""
        self.note_names(*map(str, make_folders(folder)))

    def note_names(self, *folders: str) -> None:
        """Note that folders contain new or other names, for `sync_all`."""
        if self.durable:
            with self._lock:
                self._changed.update(folders)

    def sync_all(self) -> None:
        """Force to the medium, when that was asked for, files and names that changed since the last time."""
        self._handles.sync_all()
        with self._lock:
            changed, self._changed = self._changed, set()
        for folder in changed:
            sync_folder(folder)

    def sync_open(self, fd: int) -> None:
        """Force an open file to the medium, when that was asked for."""
        if self.durable:
            os.fsync(fd)

    @contextmanager
    def use_alone(self, path: Path) -> Iterator[int]:
        """Lend the only descriptor that this process has of a file."""
        self._aside.forget(path)
        with self._handles.use(path) as fd:
            yield fd

    def forget(self, path: Path) -> None:
        """Close a file that will hardly be used again."""
        self._aside.forget(path)
        self._handles.forget(path)

    def close(self) -> None:
        """Close all files; from now on they are opened for as long as they are used."""
        self._aside.close()
        self._handles.close()

    def _create(self, path: str, content: Piece, flags: int) -> None:
        fd = open_new(path, flags=flags)
        try:
            # numpy's arrays are buffers, which its types say from Python 3.12 on only
            nbytes = memoryview(content).nbytes  # type: ignore[arg-type]  # see above
            write_one(fd, content, nbytes, 0)
            if self.durable:
                os.fsync(fd)
        finally:
            os.close(fd)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Go on behind the block, and try no more, if the file system cannot; raise what else has happened."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            self._passing = False


def _are_aligned(parts: Sequence[Piece]) -> bool:
    for part in parts:
        memory = np.frombuffer(part, np.uint8)
        if memory.nbytes % _ALIGNED or memory.ctypes.data % _ALIGNED:
            return False
    return True
