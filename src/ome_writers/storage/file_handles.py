"""A bounded number of open files, for any number that are written."""

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

_MOST_OPEN = 128


class FileHandles:
    """Keeps the files used last open; safe to use from any thread.

    Parameters
    ----------
    durable
        Whether `sync` forces data to the medium, or does nothing.
    flags
        With what files are opened besides, as for `os.open`.

    Attributes
    ----------
    durable
        As the parameter.
    """

    def __init__(self, *, durable: bool, flags: int = 0) -> None:
        self._flags = flags
        self.durable = durable
        self._most = _MOST_OPEN
        self._lock = new_lock()
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._users: dict[Path, int] = {}
        self._unsynced: set[Path] = set()

    @contextmanager
    def use(self, path: Path, *, create: bool = False, writing: bool = True) -> Iterator[int]:
        """Lend the descriptor of `path`, open for reading and writing.

        Without `writing` there will be nothing to sync; `create` makes a file that is not there.
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
                self._close_surplus(self._most)

    def sync(self, path: Path) -> None:
        """Force one file to the medium, when that was asked for."""
        if self.durable:
            with self.use(path, writing=False) as fd:
                os.fsync(fd)
            with self._lock:
                self._unsynced.discard(path)

    def sync_all(self) -> None:
        """Force every file that was used since the last time to the medium, when that was asked for."""
        with self._lock:
            unsynced, self._unsynced = self._unsynced, set()
        for path in unsynced:
            with self.use(path, writing=False) as fd:
                os.fsync(fd)

    def forget(self, path: Path) -> None:
        """Close a file that will hardly be used again."""
        with self._lock:
            if path in self._open and path not in self._users:
                os.close(self._open.pop(path))

    def close(self) -> None:
        """Close all files; from now on `use` opens them for as long as they are used."""
        self._most = 0
        with self._lock:
            self._close_surplus(0)

    def _close_surplus(self, most: int) -> None:
        surplus = len(self._open) - most
        if surplus > 0:
            idle = (path for path in self._open if path not in self._users)
            for path in list(islice(idle, surplus)):
                os.close(self._open.pop(path))
