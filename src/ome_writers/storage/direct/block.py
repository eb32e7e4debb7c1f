"""What is handed over at once: neighbouring columns of one shard, in the order in which they came.

Where a chunk is part of one plane, a column is whole as soon as its frame is there, and a block takes as many as fit.
Where a chunk spans several planes, a block is one column, which stays open until its last plane has come.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.locks import new_lock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ome_writers.storage.memory_pool import MemoryPool
    from ome_writers.storage.zarr.chunk_grid import Cell, Grid

    Key = tuple[int, Cell | None]

__all__ = ["Block"]


class Block:
    """Columns on their way to the disk.

    Attributes
    ----------
    key
        The array and, where chunks span several planes, the cell.
    shard
        The shard that all of them lie in (index axes only).
    entries
        For each column its cell, and the number of the cell's plane of chunks in the shard. A column counts from the
        moment at which it has an entry.
    columns
        The columns, shape (n, tiles, depth, chunk y, chunk x): the block's own memory, or a list of
        planes that were handed over.
    refers
        Whether `columns` are planes in memory that was handed over or lent.
    frames
        The numbers of the frames that are not on disk yet.
    slots
        Of a column that spans several planes: the slots that are filled.
    sealed
        Whether the block takes no more frames, and the slots it is to be stored with (None: it is whole).
    """

    def __init__(self, key: Key, grid: Grid, shard: Cell, room: int, *, refers: bool) -> None:
        self.key = key
        self.shard = shard
        self.room = room
        self.refers = refers
        self.entries: list[tuple[Cell, int]] = []
        self.frames: list[int] = []
        self.slots: set[int] = set()
        self.sealed: tuple[frozenset[int] | None] | None = None
        self.columns: NDArray[np.generic] | list[NDArray[np.generic]] = []
        self.storing = threading.Lock()  # held while the columns are written, half-full or whole
        self.stored = False
        self._memory = new_lock()  # held while somebody looks, or the memory goes
        self._grid = grid
        self._again = False  # whether the column was whole before, and its frames are taken again
        self._blank = False  # whether slots that are not filled hold the fill value
        self._buffers: list[NDArray[np.uint8]] = []
        self._reserved = 0

    def give_memory(self, buffer: NDArray[np.uint8]) -> None:
        """Have the block copy frames into `buffer`; it holds `room` columns."""
        if self._grid.padded:
            buffer[...] = 0  # what no frame covers is the fill value
            self._blank = True
        self._buffers.append(buffer)
        self.columns = buffer.view(self._grid.dtype).reshape(self.room, *self._grid.column_shape)

    def take_up(self, column: NDArray[np.generic], slots: set[int]) -> None:
        """Go on with a column that was on disk, in which `slots` are filled; with none, it was whole."""
        self.columns[0][...] = column
        self.slots |= slots
        self._again = not slots
        self._blank = True

    def complete(self) -> None:
        """Make the slots that no frame will fill any more the fill value."""
        if self._grid.depth > 1 and not self._blank:
            for slot in set(range(self._grid.depth)) - self.slots:
                self.columns[0][:, slot] = 0

    def as_of(self, slots: set[int] | frozenset[int]) -> list[NDArray[np.generic]]:
        """Return a copy of a column that is still being filled, with these slots only."""
        column = self.columns[0]
        if self._again:
            return [column.copy()]
        copy = np.zeros_like(column)
        for slot in slots:
            copy[:, slot] = column[:, slot]
        return [copy]

    def takes(self, shard: Cell, *, refers: bool) -> bool:
        """Whether a plane of a shard, to be copied or referred to, may come into this block."""
        if self._grid.depth > 1:
            return True
        return self.refers == refers and (self.shard == shard or not self._grid.sharded)

    def add(
        self,
        number: int,
        cell: Cell,
        plane: int,
        slot: int,
        frame: NDArray[np.generic],
        buffer: NDArray[np.uint8] | None,
    ) -> None:
        """Take a plane: a copy, or where the block refers to planes itself, in the pool's `buffer` or elsewhere."""
        column = len(self.entries) if self._grid.depth == 1 else 0
        if isinstance(self.columns, list):
            self.columns[column:] = [frame.reshape(self._grid.column_shape)]
            if buffer is None:
                self._reserved += frame.nbytes
            else:
                self._buffers.append(buffer)
        else:
            self._grid.place(frame, self.columns[column], slot)
        if self._grid.depth > 1:
            self.slots.add(slot)
        if len(self.entries) == column:
            self.entries.append((cell, plane))  # from now on the plane is read and stored
        self.frames.append(number)

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        if self._grid.depth > 1:
            return len(self.slots) == self._grid.planes(self.entries[0][0])
        return len(self.entries) >= self.room

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return len(self.entries) * self._grid.column_bytes

    @property
    def lent_bytes(self) -> int:
        """Bytes of the pool's budget that the block has."""
        return sum(buffer.nbytes for buffer in self._buffers) + self._reserved

    @property
    def memory(self) -> memoryview | None:
        """All columns as bytes side by side; None when they are not in one piece."""
        if self.refers:
            return None
        return self._buffers[0].data[: self.nbytes]

    def plane(self, cell: Cell, slot: int) -> NDArray[np.generic] | None:
        """Return a copy of a plane in memory; None when the block does not hold it."""
        with self._memory:
            for i in reversed(range(min(len(self.entries), len(self.columns)))):
                if self.entries[i][0] == cell and (self._grid.depth == 1 or slot in self.slots):
                    return self._grid.plane(self.columns[i], slot)
        return None

    def free(self, pool: MemoryPool) -> None:
        """Give all memory back."""
        with self._memory:
            self.columns = []
        buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            pool.release(buffer)
        if self._reserved:
            pool.unreserve(self._reserved)
            self._reserved = 0
