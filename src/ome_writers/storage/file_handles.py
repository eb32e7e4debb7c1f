"""A cache of open files: bounded, for any number of files that are written."""

from __future__ import annotations

import os
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from ome_writers.file_sync import sync
from ome_writers.locks import new_lock
from ome_writers.storage.file_lease import POLL_INTERVAL_S, exclusive_lease
from ome_writers.storage.positional_io import open_file

if sys.platform == "win32":
    from ome_writers.windows_api import open_exclusively


_MAX_OPEN_FILES = 128


class FileHandles:
    """Keeps the most recently used files open; thread-safe.

    If `durable`, `sync` and `sync_all` call fsync. If `direct_io`, writes bypass the page cache, see
    `positional_io.open_file`.
    """

    def __init__(self, *, durable: bool, direct_io: bool = False) -> None:
        self.durable = durable
        self._direct_io = direct_io
        self._max_open = _MAX_OPEN_FILES
        self._lock = new_lock()
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._users: dict[Path, int] = {}
        self._unsynced: set[Path] = set()
        self._exclusive: set[Path] = set()  # Windows: open, and closed to other processes

    @contextmanager
    def use(self, path: Path, *, create: bool = False, writing: bool = True) -> Iterator[int]:
        """Yield the descriptor of `path`, open for reading and writing.

        Pass ``writing=False`` if nothing needs a sync afterwards; `create` creates a missing file.
        """
        with self._lock:
            fd = self._open.get(path)
            if fd is None:
                fd = self._open[path] = open_file(path, create=create, direct_io=self._direct_io)
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
                    if path in self._exclusive:
                        self._exclusive.remove(path)
                        os.close(self._open.pop(path))
                self._close_idle(self._max_open)

    @contextmanager
    def use_exclusively(self, path: Path, *, timeout_s: float = 0.0) -> Iterator[tuple[int, bool]]:
        """Yield the descriptor of a file, and whether other processes cannot open the file until the end of the block.

        Waits `timeout_s` for other processes to close it. They wait for the end of the block on Linux
        (`file_lease`), and get a sharing violation on Windows, so keep it short. Elsewhere access is never blocked,
        and the second value is True.
        """
        if sys.platform != "win32":
            with self.use(path) as fd, exclusive_lease(fd, timeout_s=timeout_s) as exclusive:
                yield fd, exclusive
            return
        deadline = time.monotonic() + timeout_s
        while not (exclusive := self._reopen_exclusively(path)) and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_S)
        with self.use(path) as fd:
            yield fd, exclusive

    def _reopen_exclusively(self, path: Path) -> bool:
        """Replace the descriptor of a file by one with exclusive access, if nothing else has the file open."""
        if sys.platform == "win32":
            with self._lock, suppress(PermissionError):
                if path not in self._users:
                    if path in self._open:
                        os.close(self._open.pop(path))
                    self._open[path] = open_exclusively(str(path))
                    self._exclusive.add(path)
                    return True
        return False

    def sync(self, path: Path) -> None:
        """Sync one file, if `durable`."""
        if self.durable:
            with self.use(path, writing=False) as fd:
                sync(fd)
            with self._lock:
                self._unsynced.discard(path)

    def sync_all(self) -> None:
        """Sync every file that was written since the last call, if `durable`."""
        with self._lock:
            unsynced, self._unsynced = self._unsynced, set()
        for path in unsynced:
            with self.use(path, writing=False) as fd:
                sync(fd)

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
