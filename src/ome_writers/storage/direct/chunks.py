"""Chunks that are files of their own: each appears whole, by rename."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ome_writers.storage.positional import open_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.storage.direct.uncached import Uncached

__all__ = ["ChunkFiles"]

_KNOWN = 4096  # folders that are known to be there


class ChunkFiles:
    """The chunk files of one array.

    Parameters
    ----------
    folder
        The folder of the array's chunks (``<array>/c``).
    durable
        Whether each file is forced to the medium before it appears.
    uncached
        Writes past the page cache; None where that is not wanted.
    """

    def __init__(self, folder: str, *, durable: bool, uncached: Uncached | None) -> None:
        self._uncached = uncached
        self._folder = folder
        self._durable = durable
        self._made: set[str] = set()

    def write(self, key: Sequence[int], stored: bytes | memoryview) -> None:
        """Write one chunk; `key` is its coordinate in all axes."""
        folder = self._folder
        for number in key[:-1]:
            folder = f"{folder}/{number}"
        if folder not in self._made:
            self._make(key[:-1])
        name = key[-1]
        beside = f"{folder}/.{name}.tmp"
        try:
            aside = self._uncached
            if aside is None or not aside.create(beside, stored, durable=self._durable):
                self._create(beside, stored)
            os.replace(beside, f"{folder}/{name}")
        except OSError:
            self._remove(beside)
            raise

    def read(self, key: Sequence[int]) -> bytes | None:
        """Return a stored chunk; None when there is none."""
        try:
            with open("/".join((self._folder, *map(str, key))), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _create(self, path: str, stored: bytes | memoryview) -> None:
        fd = open_new(path)
        try:
            rest = memoryview(stored)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if self._durable:
                os.fsync(fd)
        finally:
            os.close(fd)

    def _make(self, parents: Sequence[int]) -> None:
        """Make the folder of a chunk and those above it that are not known to be there."""
        if len(self._made) > _KNOWN:
            self._made.clear()
        if not self._made:
            os.makedirs(self._folder, exist_ok=True)
        folder = self._folder
        for number in parents:
            folder = f"{folder}/{number}"
            if folder not in self._made:
                with suppress(FileExistsError):
                    os.mkdir(folder)
                self._made.add(folder)

    @staticmethod
    def _remove(path: str) -> None:
        with suppress(OSError):  # the first error is the one that tells
            os.unlink(path)
