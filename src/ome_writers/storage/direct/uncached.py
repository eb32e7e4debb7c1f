"""Writes past the operating system's page cache: for disks that are quicker than a copy into it.

The system takes such a write only from page-aligned memory to an aligned offset, in whole pages. Whatever is not
aligned is written as always, and so is everything where the platform or the file system cannot.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.handles import Handles
from ome_writers.storage.positional import open_new, write_apart, write_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Bytes = bytes | memoryview

__all__ = ["Uncached"]

_ALIGNED = 4096  # bytes: a multiple of what any disk asks for
_O_DIRECT: int = getattr(os, "O_DIRECT", 0)


class Uncached:
    """Writes past the page cache as long as the file system takes them."""

    def __init__(self) -> None:
        self._handles = Handles(durable=False, flags=_O_DIRECT)
        self._possible = _O_DIRECT != 0

    def write(
        self,
        path: Path,
        parts: Sequence[Bytes],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> bool:
        """Write pieces into an existing file, as `positional.write_apart`; False: it has to be done as always."""
        if not self._possible or (offsets % _ALIGNED).any() or not _are_aligned(parts):
            return False
        try:
            with self._handles.use(path) as fd:
                write_apart(fd, parts, offsets, sizes)
        except OSError as error:
            return self._take(error)
        return True

    def create(self, path: str, content: Bytes, *, durable: bool) -> bool:
        """Write a new file; False: it has to be done as always."""
        if not self._possible or not _are_aligned([content]):
            return False
        try:
            fd = open_new(path, flags=_O_DIRECT)
            try:
                write_at(fd, [content], 0)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            return self._take(error)
        return True

    def forget(self, path: Path) -> None:
        """Close a file that will hardly be used again."""
        self._handles.forget(path)

    def close(self) -> None:
        """Close all files."""
        self._handles.close()

    def _take(self, error: OSError) -> bool:
        """Return False and try no more if the file system cannot; raise what else has happened."""
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise error
        self._possible = False
        return False


def _are_aligned(parts: Sequence[Bytes]) -> bool:
    for part in parts:
        memory = np.frombuffer(part, np.uint8)
        if memory.nbytes % _ALIGNED or memory.ctypes.data % _ALIGNED:
            return False
    return True
