"""Sync files and directories, so that they survive power loss."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

if sys.platform == "darwin":
    from fcntl import F_FULLFSYNC, fcntl

    def _flush_drive(fd: int) -> None:
        fcntl(fd, F_FULLFSYNC)

else:
    _flush_drive: Callable[[int], None] | None = None

# errors of file systems, such as network drives, that cannot flush the cache of the drive
_NOT_SUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY}


def sync(fd: int) -> None:
    """Return when the content of an open file or directory is on the medium.

    On macOS fsync leaves it in the cache of the drive, which F_FULLFSYNC flushes; where the file system does not
    support that, fsync is called.
    """
    if _flush_drive is not None:
        try:
            _flush_drive(fd)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
        else:
            return
    os.fsync(fd)


def sync_folder(folder: Path | str) -> None:
    """Sync the entries of a directory, where the platform supports it."""
    if os.name == "nt":
        return  # directories cannot be opened; NTFS journals their entries
    fd = os.open(folder, os.O_RDONLY)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_folders(folder: Path, top: Path) -> None:
    """Sync the entries of `folder` and of its parents up to `top`."""
    for each in (folder, *folder.parents):
        sync_folder(each)
        if each == top:
            return


def sync_files(files: Iterable[Path], root: Path) -> None:
    """Sync files, and the entries of their parent directories up to `root`.

    Skips missing files and directories: a chunk of zeros has no file.
    """
    folders = {root}
    for path in files:
        with suppress(FileNotFoundError):
            sync_file(path)
        folder = path.parent
        while folder not in folders:
            folders.add(folder)
            folder = folder.parent
    for folder in folders:
        with suppress(FileNotFoundError):
            sync_folder(folder)


def sync_tree(folder: Path) -> None:
    """Sync every file below `folder`, for libraries that do not sync."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    sync_files(files, folder)


def sync_file(path: Path) -> None:
    # Windows syncs only files that are open for writing
    fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        sync(fd)
    finally:
        os.close(fd)
