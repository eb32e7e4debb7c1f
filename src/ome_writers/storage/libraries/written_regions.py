"""What a library's engine has brought to disk so far: which regions, how much, and what is still to be synced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.locks import new_lock
from ome_writers.storage.files import sync_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.storage.libraries.region_grid import Key, RegionGrid, Where

__all__ = ["WrittenRegions"]


class WrittenRegions:
    """Keeps count; its methods are safe to call from any thread.

    Parameters
    ----------
    root
        The folder of the dataset.
    folders, grids
        The key of each array below it, and its regions.
    durable
        Whether `sync` forces files to the medium.

    Attributes
    ----------
    frames, nbytes
        Number of frames that are on disk, and bytes that were given to the library.
    """

    def __init__(
        self, root: Path, folders: Sequence[str], grids: Sequence[RegionGrid], *, durable: bool
    ) -> None:
        self.frames = 0
        self.nbytes = 0
        self._root = root
        self._folders = folders
        self._grids = grids
        self._durable = durable
        self._marks = [bytearray() for _ in grids]  # by number of the region: 1 if ever stored
        self._changed: list[tuple[int, Where]] = []  # since the last `sync`
        self._lock = new_lock()

    def note_part(self, array: int, where: Where, nbytes: int) -> None:
        """Take note that a part of an array is in its files."""
        with self._lock:
            self.nbytes += nbytes
            if self._durable:
                self._changed.append((array, where))

    def note_region(self, key: Key, frames: int) -> None:
        """Take note that all parts of a region are, with so many frames that were not on disk before."""
        array, origin = key
        number, marks = self._grids[array].number(origin), self._marks[array]
        with self._lock:
            self.frames += frames
            marks.extend(bytes(max(0, number + 1 - len(marks))))
            marks[number] = 1

    def __contains__(self, key: Key) -> bool:
        """Whether something of a region was ever stored."""
        number, marks = self._grids[key[0]].number(key[1]), self._marks[key[0]]
        return number < len(marks) and bool(marks[number])

    def sync(self) -> None:
        """Force to the medium what has come since the last time, if that is wanted."""
        if not self._durable:
            return
        with self._lock:
            changed, self._changed = self._changed, []
        files = (
            self._root / self._folders[array] / file
            for array, where in changed
            for file in self._grids[array].files(where)
        )
        sync_files(files, self._root)
