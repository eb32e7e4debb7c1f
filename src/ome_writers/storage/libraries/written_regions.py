"""Which regions an engine has written, and which files must be synced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ome_writers.file_sync import sync_files
from ome_writers.locks import new_lock
from ome_writers.storage.libraries.region_grid import RegionGrid, RegionKey, Selection


class WrittenRegions:
    """Records what is on disk; thread-safe. `keys` are the keys of the arrays below `root`."""

    def __init__(
        self, root: Path, keys: Sequence[str], grids: Sequence[RegionGrid], *, durable: bool
    ) -> None:
        self._root = root
        self._keys = keys
        self._grids = grids
        self._durable = durable
        self._written = [bytearray() for _ in grids]  # by region number: 1 if ever written
        self._unsynced: list[tuple[int, Selection]] = []
        self._lock = new_lock()

    def add_files(self, array: int, selection: Selection) -> None:
        """Record that a part of an array is in its files."""
        if self._durable:
            with self._lock:
                self._unsynced.append((array, selection))

    def add(self, key: RegionKey) -> None:
        """Record that planes of a region are in its files."""
        array, origin = key
        number, written = self._grids[array].number(origin), self._written[array]
        with self._lock:
            written.extend(bytes(max(0, number + 1 - len(written))))
            written[number] = 1

    def __contains__(self, key: RegionKey) -> bool:
        """Whether any part of a region was ever written."""
        number, written = self._grids[key[0]].number(key[1]), self._written[key[0]]
        return number < len(written) and bool(written[number])

    def sync(self) -> None:
        """Force the files that were written since the last call to the medium, if durable."""
        if not self._durable:
            return
        with self._lock:
            unsynced, self._unsynced = self._unsynced, []
        files = (
            self._root / self._keys[array] / file
            for array, selection in unsynced
            for file in self._grids[array].files(selection)
        )
        sync_files(files, self._root)
