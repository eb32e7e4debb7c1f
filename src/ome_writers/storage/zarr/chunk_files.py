"""Each chunk by itself: a file that is created atomically, by rename, or a value of a store."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ome_writers.file_sharing import rename
from ome_writers.storage.disk import Disk
from ome_writers.storage.positional_io import Piece
from ome_writers.storage.store import Store

_MAX_CACHED_FOLDERS = 4096


class ChunkFiles:
    """The chunk files of one array, below `folder` (``<array>/c``)."""

    def __init__(self, folder: str, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._existing: set[str] = set()  # directories

    def write(
        self, key: Sequence[int], stored: Piece, *more: bytes | memoryview, writer: str = ""
    ) -> None:
        """Write one chunk, `stored` and `more`.

        `key` is its coordinate along all axes, `writer` a part of the temporary file's name.
        """
        folder, name = self.folder(key), key[-1]
        temporary = f"{folder}/.{name}{writer}.tmp"
        try:
            self._disk.create(temporary, stored, *more)
            rename(temporary, f"{folder}/{name}")
            self._disk.mark_changed(folder)
        except BaseException as error:
            with suppress(OSError):  # keep the original error
                os.unlink(temporary)
            if writer or os.name != "nt" or not isinstance(error, PermissionError):
                raise
            # A KeyboardInterrupt in an earlier write of this chunk may have left its temporary file open.
            self.write(key, stored, *more, writer=f".{os.getpid()}-{threading.get_ident()}")

    def folder(self, key: Sequence[int]) -> str:
        """Return the directory of a chunk, which is created."""
        folder = self._folder
        for number in key[:-1]:
            folder = f"{folder}/{number}"
        if folder not in self._existing:
            self._make_folders(key[:-1])
        return folder

    def read(self, key: Sequence[int]) -> bytes | None:
        """Return a stored chunk; None if it does not exist."""
        try:
            with open("/".join((self._folder, *map(str, key))), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _make_folders(self, parents: Sequence[int]) -> None:
        if len(self._existing) > _MAX_CACHED_FOLDERS:
            self._existing.clear()
        if not self._existing:
            self._disk.make_folders(Path(self._folder))
        folder = self._folder
        for number in parents:
            parent, folder = folder, f"{folder}/{number}"
            if folder not in self._existing:
                with suppress(FileExistsError):
                    os.mkdir(folder)
                    self._disk.mark_changed(parent)
                self._existing.add(folder)


class ChunkKeys:
    """The chunks of one array in a store that replaces whole values."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def write(self, key: Sequence[int], stored: Piece, *more: bytes | memoryview) -> None:
        self._store.put(
            self._key(key), b"".join((np.frombuffer(stored, np.uint8).tobytes(), *more))
        )

    def read(self, key: Sequence[int]) -> bytes | None:
        return self._store.get(self._key(key))

    def _key(self, key: Sequence[int]) -> str:
        return "/".join((self._prefix, *map(str, key)))
