"""Chunks that are files of their own: each appears whole, by rename."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.storage.files import rename

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.storage.disk import Disk
    from ome_writers.storage.positional_io import Piece

__all__ = ["ChunkFiles"]

_KNOWN = 4096  # folders that are known to be there


class ChunkFiles:
    """The chunk files of one array.

    Parameters
    ----------
    folder
        The folder of the array's chunks (``<array>/c``).
    disk
        Writes them.
    """

    def __init__(self, folder: str, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._made: set[str] = set()

    def write(self, key: Sequence[int], stored: Piece) -> None:
        """Write one chunk; `key` is its coordinate in all axes."""
        folder = self._folder
        for number in key[:-1]:
            folder = f"{folder}/{number}"
        if folder not in self._made:
            self._make(key[:-1])
        name = key[-1]
        beside = f"{folder}/.{name}.tmp"
        try:
            self._disk.create(beside, stored)
            rename(beside, f"{folder}/{name}")
            self._disk.mark_changed(folder)
        except BaseException:
            with suppress(OSError):  # keep the original error
                os.unlink(beside)
            raise

    def read(self, key: Sequence[int]) -> bytes | None:
        """Return a stored chunk; None when there is none."""
        try:
            with open("/".join((self._folder, *map(str, key))), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _make(self, parents: Sequence[int]) -> None:
        """Make the folder of a chunk and those above it that are not known to be there."""
        if len(self._made) > _KNOWN:
            self._made.clear()
        if not self._made:
            self._disk.make_folders(Path(self._folder))
        folder = self._folder
        for number in parents:
            above, folder = folder, f"{folder}/{number}"
            if folder not in self._made:
                with suppress(FileExistsError):
                    os.mkdir(folder)
                    self._disk.mark_changed(above)
                self._made.add(folder)
