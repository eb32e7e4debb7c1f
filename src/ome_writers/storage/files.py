"""Files that appear whole or not at all, on every platform."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["replace", "sync_folder", "sync_tree"]

_TRIES = 20  # Windows refuses to replace a file while somebody reads it; readers are quick
_PAUSE = 0.01  # seconds between tries


def replace(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Put `content` at `path`: who reads sees the old file or the new one, never a part.

    Parameters
    ----------
    path
        Missing folders are made.
    content
        The whole file.
    durable
        Whether it shall survive power loss when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        _rename(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the medium, where the platform can."""
    if os.name == "nt":
        return  # folders cannot be opened there; the file system journals names itself
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _rename(source: Path, target: Path) -> None:
    for rest in reversed(range(_TRIES)):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt" or not rest:
                raise
            time.sleep(_PAUSE)


def sync_tree(folder: Path) -> None:
    """Force every file below `folder` to the medium: for libraries that cannot do it themselves."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    sync_folder(folder)
