"""A FUSE file system that forwards everything to a directory and records all changes in order.

``recording.py BACKING MOUNT LOG``: runs until it is unmounted. `LOG` receives one pickled `Op` per change. Data written
to the file `MARKS` in the root is not stored but recorded, so that a writer can mark when a call returned.
"""

from __future__ import annotations

import errno
import os
import pickle
import sys
from pathlib import Path
from typing import IO, Any

from fuse import FUSE, FuseOSError, Operations

sys.path.insert(0, str(Path(__file__).parent.parent))

from powerloss.replay import MARKS, ROOT


class Recording(Operations):  # type: ignore[misc]  # fusepy has no types
    """Stores below `backing`; pickles each change to `log`."""

    def __init__(self, backing: str, log: IO[bytes]) -> None:
        self._backing = backing
        self._log = log
        self._numbers = {os.stat(backing).st_ino: ROOT}  # by inode of the backing file system
        self._last = ROOT

    def _record(self, kind: str, *args: Any) -> None:
        pickle.dump((kind, args), self._log, protocol=pickle.HIGHEST_PROTOCOL)

    def _real(self, path: str) -> str:
        return self._backing + path

    def _new(self, path: str) -> int:
        self._last += 1
        self._numbers[os.lstat(self._real(path)).st_ino] = self._last
        return self._last

    def _number(self, path: str, fd: int | None = None) -> int:
        stat = os.lstat(self._real(path)) if fd is None else os.fstat(fd)
        return self._numbers[stat.st_ino]

    def _name(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._number(folder), name

    # ------------------------------------------------------------------ names

    def create(self, path: str, mode: int, fi: object = None) -> int:
        """Create a file."""
        fd = os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)
        self._record("create", *self._name(path), self._new(path))
        return fd

    def mkdir(self, path: str, mode: int) -> None:
        """Create a directory."""
        os.mkdir(self._real(path), mode)
        self._record("mkdir", *self._name(path), self._new(path))

    def link(self, target: str, source: str) -> None:
        """Add the name `target` to the file `source`."""
        os.link(self._real(source), self._real(target))
        self._record("link", *self._name(target), self._number(source))

    def symlink(self, target: str, source: str) -> None:
        """Refuse: no engine creates symbolic links."""
        raise FuseOSError(errno.EPERM)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        self._record("unlink", *self._name(path))
        os.unlink(self._real(path))

    def rmdir(self, path: str) -> None:
        """Remove a directory."""
        os.rmdir(self._real(path))
        self._record("rmdir", *self._name(path))

    def rename(self, old: str, new: str) -> None:
        """Rename a file or directory."""
        os.rename(self._real(old), self._real(new))
        self._record("rename", *self._name(old), *self._name(new))

    # ------------------------------------------------------------------ contents

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write all of `data`."""
        if path == f"/{MARKS}":
            self._record("mark", data)
            return len(data)
        os.pwrite(fh, data, offset)
        self._record("write", self._number(path, fh), offset, data)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Truncate or extend a file."""
        os.truncate(self._real(path) if fh is None else fh, length)
        self._record("truncate", self._number(path, fh), length)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        """Record that a file was synced."""
        self._record("fsync", self._number(path, fh))

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        """Record that the names in a directory were synced."""
        self._record("fsync", self._number(path.rstrip("/")))

    # ------------------------------------------------------------------ forwarded

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        return os.open(self._real(path), os.O_RDWR)

    def release(self, path: str, fh: int) -> None:
        """Close a file."""
        os.close(fh)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read."""
        return os.pread(fh, size, offset)

    def readdir(self, path: str, fh: int) -> list[str]:
        """List a directory."""
        return [".", "..", *os.listdir(self._real(path))]

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return the result of `stat`."""
        stat = os.lstat(self._real(path)) if fh is None else os.fstat(fh)
        return {name: getattr(stat, name) for name in dir(stat) if name.startswith("st_")}

    def chmod(self, path: str, mode: int) -> None:
        """Change permissions."""
        os.chmod(self._real(path), mode)

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        """Change times."""
        os.utime(self._real(path), times)

    def statfs(self, path: str) -> dict[str, int]:
        """Return the result of `statvfs`."""
        stat = os.statvfs(self._real(path))
        return {name: getattr(stat, name) for name in dir(stat) if name.startswith("f_")}

    def destroy(self, path: str) -> None:
        """Complete the log."""
        self._log.close()


if __name__ == "__main__":
    backing, mount, log = sys.argv[1:]
    Path(backing, MARKS).touch()
    # one thread: the log is in the order in which the calls took effect
    options = {"big_writes": True, "max_write": 2**17, "hard_remove": True, "use_ino": False}
    with open(log, "wb") as file:
        FUSE(Recording(backing, file), mount, foreground=True, nothreads=True, **options)
