"""A cache of open files: bounded, for any number of files that are written."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from ome_writers.locks import new_lock
from ome_writers.storage.positional_io import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FileHandles"]

_MAX_OPEN_FILES = 128


class FileHandles:
    """Keeps the most recently used files open; thread-safe.

    Parameters
    ----------
    durable
        Whether `sync` and `sync_all` call fsync, or do nothing.
    flags
        Additional flags for `os.open`.
    """

    def __init__(self, *, durable: bool, flags: int = 0) -> None:
        self.durable = durable
        self._flags = flags
        self._max_open = _MAX_OPEN_FILES
        self._lock = new_lock()
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._users: dict[Path, int] = {}
        self._unsynced: set[Path] = set()

    @contextmanager
    def use(self, path: Path, *, create: bool = False, writing: bool = True) -> Iterator[int]:
        """Yield the descriptor of `path`, open for reading and writing.

        Pass ``writing=False`` if nothing needs a sync afterwards; `create` creates a missing file.
        """
        with self._lock:
            fd = self._open.get(path)
            if fd is None:
                fd = self._open[path] = open_file(path, create=create, flags=self._flags)
            self._open.move_to_end(path)
            self._users[path] = self._users.get(path, 0) + 1
            if self.durable and writing:
                self._unsynced.add(path)
        try:
            yield fd
        finally:
            with self._lock:
                self._users[path] -= 1
                if not self._users[path]:
                    del self._users[path]
                self._close_idle(self._max_open)

    def sync(self, path: Path) -> None:
        """Sync one file, if `durable`."""
        if self.durable:
            with self.use(path, writing=False) as fd:
                os.fsync(fd)
            with self._lock:
                self._unsynced.discard(path)

    def sync_all(self) -> None:
        """Sync every file that was written since the last call, if `durable`."""
        with self._lock:
            unsynced, self._unsynced = self._unsynced, set()
        for path in unsynced:
            with self.use(path, writing=False) as fd:
                os.fsync(fd)

    def forget(self, path: Path) -> None:
        """Close a file that is not expected to be used again."""
        with self._lock:
            if path in self._open and path not in self._users:
                os.close(self._open.pop(path))

    def close(self) -> None:
        """Close all files. From now on `use` closes each file after its block."""
        self._max_open = 0
        with self._lock:
            self._close_idle(0)

    def _close_idle(self, max_open: int) -> None:
        surplus = len(self._open) - max_open
        if surplus > 0:
            idle = (path for path in self._open if path not in self._users)
            for path in list(islice(idle, surplus)):
                os.close(self._open.pop(path))
