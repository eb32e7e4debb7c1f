"""Atomic writes, safe paths and temporary names on every platform."""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from pathlib import Path

from ome_writers.file_sharing import overwrite, remove, rename
from ome_writers.file_sync import sync, sync_folder
from ome_writers.settings import temporary_targets
from ome_writers.untrusted import is_link

_REPLACE_TIMEOUT_S = 2.0
_MAX_NAME_BYTES = 200  # of the target's name in a temporary name: file systems allow 255
_TEMPORARY = re.compile(r"\.(.+)\.[0-9]+-[0-9]+\.tmp", re.DOTALL)  # process and thread


def atomic_write(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Create or replace the file at `path`: readers see the old content or the new, never a part of it.

    Creates missing parent directories. A symbolic link at `path` is replaced, not followed. Windows does not replace a
    file while it is open: if another process does not close it, it is overwritten, see `file_sharing.overwrite`.

    If `durable`, the file survives power loss when this returns.

    Raises OSError if the file could not be written. The old file is unchanged, and no temporary file is left.
    """
    changed = {path.parent, *make_folders(path.parent)}
    stem = path.name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
    temporary = path.with_name(f".{stem}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # left by a crash, or a link that was put there
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                sync(file.fileno())
        try:
            rename(temporary, path, timeout_s=_REPLACE_TIMEOUT_S)
        except PermissionError:
            if not overwrite(path, content, durable=durable):
                raise
            with suppress(OSError):  # another program, such as a virus scanner, may read it
                remove(temporary)
    except BaseException:
        with suppress(OSError):  # keep the original error
            remove(temporary)
        raise
    if durable:
        for folder in changed:
            sync_folder(folder)


def make_folders(folder: Path) -> list[Path]:
    """Create `folder` and its missing parents; return the directories with new entries, which are not synced."""
    changed = []
    missing = folder
    while not missing.exists():
        missing = missing.parent
        changed.append(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return changed


def path_below(root: Path, key: str) -> Path:
    """Return the path of the ``/``-separated `key` below `root`.

    Raises PermissionError if the key leads out of `root`, or through a link.
    """
    path = root
    for name in key.split("/"):
        if name in ("", ".", "..") or "\\" in name or (os.name == "nt" and ":" in name):
            raise PermissionError(f"{key!r} is not the name of a file below {root}.")
        path = path / name
        if is_link(path):
            raise PermissionError(
                f"{path}: refusing to read or write through a link to another location. Replace it with its target."
            )
    return path


def is_temporary(name: str) -> bool:
    """Whether a file or directory of this name is temporary: useless once its writer has ended."""
    return temporary_target(name) is not None


def temporary_target(name: str) -> str | None:
    """Return the final name of the file with this temporary name, of `atomic_write` or an engine; None for others.

    A number is the name of a chunk or shard. The caller checks the directory: other software may use the same name.
    """
    own = _TEMPORARY.fullmatch(name)
    return own[1] if own else next(iter(temporary_targets(name)), None)
