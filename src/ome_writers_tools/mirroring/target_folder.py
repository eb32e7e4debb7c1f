"""`TargetFolder`: the folder of a copy, on a share that may be unmounted, or mounted again, at any time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ome_writers.toolkit import sync
from ome_writers_tools.mirroring.checksums import checksum

_BLOCK_BYTES = 2**20


class TargetFolder:
    """A folder, and the device number that it had when its claim was read.

    Below the mount point of a share is a folder of another disk. Without the device number, files would be written to
    it, and read back from it, without an error. Devices of folders are compared, never those of files: on overlayfs
    they differ. On Windows, a share that is not connected is an error anyway.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.device: int | None = None  # None: the claim was not read yet

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Remember the device; the claim is read, or written, in the block. OSError if the device changes there."""
        before = self._find_device()
        yield
        after = self._find_device()
        if after is None or before not in (None, after):
            raise self._error()
        self.device = after

    def check(self) -> None:
        """Raise OSError if the folder is not on the device where its claim was read."""
        if self.device is not None and self._find_device() != self.device:
            raise self._error()

    def check_written(self, key: str) -> None:
        """Raise OSError if a file that was just written is on another device, and remove it there."""
        if self.device is None:
            return
        path = self.path / key
        if sys.platform == "win32":
            self.check()
            return
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if os.fstat(folder).st_dev == self.device:
                return
            with suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=folder)
        finally:
            os.close(folder)
        for parent in path.parents:
            if parent == self.path:
                break
            with suppress(OSError):  # it contains other files
                parent.rmdir()
        raise self._error()

    def read_back(self, key: str) -> str:
        """Sync a file, and return the checksum of its content, read from the medium where the system allows that.

        Raises OSError if the folder is on another device.
        """
        with self._open(key) as file:
            sync(file.fileno())
            if sys.platform == "linux":
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(file.fileno()).st_size
            return checksum(iter(lambda: file.read(_BLOCK_BYTES), b""), size)

    def _open(self, key: str) -> BinaryIO:
        path = self.path / key
        if sys.platform == "win32":
            self.check()
            return path.open("r+b")  # only a handle for writing can be synced
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if self.device not in (None, os.fstat(folder).st_dev):
                raise self._error()
            return open(os.open(path.name, os.O_RDONLY, dir_fd=folder), "rb")
        finally:
            os.close(folder)

    def _find_device(self) -> int | None:
        try:
            return self.path.stat().st_dev
        except FileNotFoundError:
            return None

    def _error(self) -> OSError:
        return OSError(
            f"{self.path} is missing, or on another file system than before: the share was unmounted, or mounted again"
        )
