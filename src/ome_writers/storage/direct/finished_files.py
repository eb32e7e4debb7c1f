"""Files of the direct engine that have all of their frames, and may be removed, and those that were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ome_writers.storage.direct.arrays import StoredArray
from ome_writers.storage.direct.block import Block
from ome_writers.storage.store import Store, SupportsFiles
from ome_writers.storage.write_buffer import WriteBuffer
from ome_writers.storage.zarr import EMPTY, Cell
from ome_writers.untrusted import moved_file


class _MovedChunks:
    """Implements `MovedChunks`, by the record in the dataset."""

    def __init__(self, root: Path, array: StoredArray) -> None:
        self._root, self._array = root, array

    def read(self, key: Cell, numbers: Iterable[int]) -> list[bytes | None]:
        name = self._name(key)
        moved = moved_file(self._root, name)
        if moved is None:
            return []
        if not self._array.grid.sharded:
            return [moved.read(name)]
        entries = self._array.index_format.decode(moved[name].shard_index)
        found = (entries[number].tolist() for number in numbers)
        return [None if at == int(EMPTY) else moved.read(name, at, size) for at, size in found]

    def restore(self, key: Cell) -> None:
        name = self._name(key)
        if (moved := moved_file(self._root, name)) is not None:
            moved.restore(name)

    def _name(self, key: Cell) -> str:
        return "/".join((self._array.key, *map(str, key)))


def read_moved_chunks(store: Store, arrays: Sequence[StoredArray]) -> None:
    """Let arrays read what a mirror has moved."""
    if isinstance(store, SupportsFiles):
        for array in arrays:
            array.moved = array.moved or _MovedChunks(store.path(""), array)


class FinishedFiles:
    """The chunk files and shards of `arrays`, which may grow; see `storage.EvictableFiles`."""

    def __init__(
        self, store: Store, arrays: Sequence[StoredArray], buffer: WriteBuffer[Block]
    ) -> None:
        self._store, self._arrays, self._buffer = store, arrays, buffer
        self._numbers: dict[str, int] = {}
        self._find_arrays()

    def is_finished(self, key: str) -> bool:
        number, coordinate = self._find(key)
        stored = self._arrays[number]
        grid, cell = stored.grid, coordinate[:-2]
        for unit in self._buffer.units(number):
            if cell == unit.shard if grid.sharded else cell in unit.addresses():
                return False
        if not grid.sharded:
            return not (grid.depth > 1 and stored.partial_slots(cell))
        if coordinate in stored.shards:
            return False
        part = next(part for part in grid.parts if part.yx == coordinate[-2:])
        index = stored.index_format.decode(self.stored_index(key))
        if np.count_nonzero(index[:, 0] != EMPTY) < grid.chunks_in(cell, part):
            return False
        cells = (
            tuple(i * n + k for i, n, k in zip(cell, grid.shard_shape, inside, strict=True))
            for inside in (np.ndindex(*grid.shard_shape) if grid.depth > 1 else ())
        )
        return not any(map(stored.partial_slots, cells))

    def stored_index(self, key: str) -> bytes:
        number, coordinate = self._find(key)
        stored = self._arrays[number]
        if not stored.grid.sharded:
            return b""
        with open(stored.path(coordinate), "rb", buffering=0) as file:
            return stored.index_format.read_stored(file.fileno())

    def remove(self, key: str, remove: Callable[[], None]) -> bool:
        number, coordinate = self._find(key)
        return self._arrays[number].remove(coordinate, remove)

    def _find(self, key: str) -> tuple[int, Cell]:
        """Return array and coordinate of a file."""
        if len(self._numbers) < len(self._arrays):
            self._find_arrays()
        array, _, coordinate = key.rpartition("/c/")
        return self._numbers[f"{array}/c"], tuple(map(int, coordinate.split("/")))

    def _find_arrays(self) -> None:
        self._numbers = {array.key: number for number, array in enumerate(self._arrays)}
        read_moved_chunks(self._store, self._arrays)
