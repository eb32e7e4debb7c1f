"""Chunks that are files of their own: each appears whole, by rename."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ome_writers.storage.positional import open_new

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChunkFiles"]


class ChunkFiles:
    """The chunk files of one array.

    Parameters
    ----------
    folder
        The folder of the array's chunks (``<array>/c``).
    durable
        Whether each file is forced to the medium before it appears.
    """

    def __init__(self, folder: str, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._made: set[str] = set()

    def write(self, key: Sequence[int], stored: bytes | memoryview) -> None:
        """Write one chunk; `key` is its coordinate in all axes."""
        *parents, name = map(str, key)
        folder = "/".join((self._folder, *parents))
        if folder not in self._made:
            _make(folder)
            if len(self._made) > 4096:
                self._made.clear()
            self._made.add(folder)
        beside = f"{folder}/.{name}.tmp"
        try:
            fd = open_new(beside)
            try:
                rest = memoryview(stored)
                while rest:
                    rest = rest[os.write(fd, rest) :]
                if self._durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
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

    @staticmethod
    def _remove(path: str) -> None:
        with suppress(OSError):  # the first error is the one that tells
            os.unlink(path)


def _make(folder: str) -> None:
    """Make a folder and those above it, with the fewest calls where most of them are there."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make(os.path.dirname(folder))
        with suppress(FileExistsError):
            os.mkdir(folder)
