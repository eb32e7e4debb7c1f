"""Files that appear whole or not at all, on every platform, and never outside the output."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "atomic_write",
    "is_temporary",
    "make_folders",
    "path_below",
    "rename",
    "sync_file",
    "sync_files",
    "sync_folder",
    "sync_folders",
    "sync_tree",
    "temporary_target",
]

_TRIES = 20  # Windows refuses to replace a file while somebody reads it; readers are quick
_PAUSE = 0.01  # seconds between tries
_NAME_BYTES = 200  # of the name go into the temporary one: file systems take 255 in all
_LEFTOVER = re.compile(
    r"\..+\.tmp"  # `replace` here, the chunk files of the direct engine, and the folder for zarr-python's
    r"|.+\.__lock"  # tensorstore's
    r"|.+\.[0-9a-f]{32}\.partial"  # zarr-python's
)


_TEMPORARY = re.compile(
    r"\.(.+)\.[0-9]+-[0-9]+\.tmp"  # `replace` here: the process and thread that replace a document
    r"|\.([0-9]+)\.tmp"  # chunks and shards of the direct engine
    r"|([0-9]+|zarr\.json)\.__lock"  # tensorstore
    r"|([0-9]+|zarr\.json)\.[0-9a-f]{32}\.partial"  # zarr-python
    r"|\.(stage)\.tmp"  # the folder of zarr-python's engine
)


def atomic_write(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Put `content` at `path`: who reads sees the old file or the new one, never a part.

    Where `path` is a symbolic link the link is replaced, not what it points to.

    Parameters
    ----------
    path
        Missing folders are made.
    content
        The whole file.
    durable
        Whether it shall survive power loss when this returns.

    Raises
    ------
    OSError
        If that was not possible; the old file is still there then, and nothing else.
    """
    changed = {path.parent, *make_folders(path.parent)}
    stem = path.name.encode()[:_NAME_BYTES].decode(errors="ignore")
    beside = path.with_name(f".{stem}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        beside.unlink(missing_ok=True)  # left by a crash, or a link that somebody put there
        with beside.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        rename(beside, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one that tells
            beside.unlink(missing_ok=True)
        raise
    if durable:
        for folder in changed:
            sync_folder(folder)


def make_folders(folder: Path) -> list[Path]:
    """Make `folder` and its missing parents; return the folders that contain a new name and are not synced."""
    changed = []
    missing = folder
    while not missing.exists():
        missing = missing.parent
        changed.append(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return changed


def path_below(root: Path, key: str) -> Path:
    """Return where the ``/``-separated `key` lies below `root`.

    Raises
    ------
    PermissionError
        If it leads out of `root`, by its words or over a symbolic link.
    """
    path = root
    for word in key.split("/"):
        if word in ("", ".", "..") or "\\" in word or (os.name == "nt" and ":" in word):
            raise PermissionError(f"{key!r} does not name a file below {root}.")
        path = path / word
        if path.is_symlink():
            raise PermissionError(
                f"{path} is a symbolic link; nothing is read or written through it."
            )
    return path


def is_temporary(name: str) -> bool:
    """Whether `name` is that of a temporary file or folder of an engine: of no use once its writer is gone."""
    return _LEFTOVER.fullmatch(name) is not None


def temporary_target(name: str) -> str | None:
    """Return the name of the file that a temporary one was to become; None if no engine makes such a name.

    A number is a chunk or shard. Whether it is one of ours is known only by the folder that it is in.
    """
    found = _TEMPORARY.fullmatch(name)
    return next((group for group in found.groups() if group), None) if found else None


def sync_folder(folder: Path | str) -> None:
    """Force the names in `folder` to the medium, where the platform can."""
    if os.name == "nt":
        return  # folders cannot be opened there; the file system journals names itself
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(folder: Path, top: Path) -> None:
    """Force the names in `folder`, and in the folders above it up to `top`, to the medium."""
    for each in (folder, *folder.parents):
        sync_folder(each)
        if each == top:
            return


def sync_files(files: Iterable[Path], root: Path) -> None:
    """Force files, and the names of the folders from them up to `root`, to the medium.

    Files and folders that do not exist are skipped: a chunk of zeros has no file.
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
    """Force every file below `folder` to the medium: for libraries that cannot do it themselves."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    sync_files(files, folder)


def sync_file(path: Path) -> None:
    """Force the content of a file to the medium."""
    # Windows syncs only what is open for writing
    fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(source: Path | str, target: Path | str) -> None:
    """Rename a file to where another may be; on Windows, wait for readers of that one to be done."""
    for rest in reversed(range(_TRIES)):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt" or not rest:
                raise
            time.sleep(_PAUSE)
