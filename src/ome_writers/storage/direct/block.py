"""What is handed over at once: neighbouring columns of one shard, in the order in which they came.

Where a chunk is part of one plane, a column is whole as soon as its frame is there, and a block takes as many as fit.
Where a chunk spans several planes, a block is one column, which stays open until its last plane has come.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ome_writers.storage.pool import Pool
    from ome_writers.storage.zarr.grid import Cell, Grid

__all__ = ["Block"]


class Block:
    """Columns on their way to the disk.

    Attributes
    ----------
    array
        Number of the array they belong to.
    shard
        The shard that all of them lie in (index axes only).
    cells, planes
        The cell of each column, and the number of its plane of chunks in the shard.
    columns
        The columns, shape (n, tiles, depth, chunk y, chunk x): the block's own memory, or a list of
        planes that were handed over.
    refers
        Whether `columns` are planes in memory that was handed over or lent.
    frames
        The numbers of the frames that are not on disk yet.
    slots
        Of a column that spans several planes: the slots that are filled.
    """

    def __init__(self, array: int, grid: Grid, shard: Cell, room: int, *, refers: bool) -> None:
        self.array = array
        self.shard = shard
        self.room = room
        self.refers = refers
        self.cells: list[Cell] = []
        self.planes: list[int] = []
        self.frames: list[int] = []
        self.slots: set[int] = set()
        self.columns: NDArray[np.generic] | list[NDArray[np.generic]] = []
        self.storing = threading.Lock()  # held while the columns are written, half-full or whole
        self.stored = False
        self._memory = threading.Lock()  # held while somebody looks, or the memory goes
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
        if isinstance(self.columns, list):
            self.columns.append(frame.reshape(self._grid.column_shape))
            if buffer is None:
                self._reserved += frame.nbytes
            else:
                self._buffers.append(buffer)
        else:
            column = self.columns[0 if self._grid.depth > 1 else len(self.cells)]
            self._grid.place(frame, column, slot)
        self.frames.append(number)
        self.slots.add(slot)
        if self._grid.depth == 1 or not self.cells:
            self.planes.append(plane)
            self.cells.append(cell)  # last: from now on the plane is seen

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        if self._grid.depth > 1:
            return len(self.slots) == self._grid.planes(self.cells[0])
        return len(self.cells) >= self.room

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return len(self.cells) * self._grid.column_bytes

    @property
    def memory(self) -> memoryview | None:
        """All columns as bytes side by side; None when they are not in one piece."""
        if self.refers:
            return None
        return self._buffers[0].data[: self.nbytes]

    def plane(self, cell: Cell, slot: int) -> NDArray[np.generic] | None:
        """Return a copy of a plane in memory; None when the block does not hold it."""
        with self._memory:
            for i in reversed(range(min(len(self.cells), len(self.columns)))):
                if self.cells[i] == cell and (self._grid.depth == 1 or slot in self.slots):
                    return self._grid.plane(self.columns[i], slot)
        return None

    def free(self, pool: Pool) -> None:
        """Give all memory back."""
        with self._memory:
            self.columns = []
        buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            pool.release(buffer)
        if self._reserved:
            pool.unreserve(self._reserved)
            self._reserved = 0
