"""Blocks: columns of one shard that are written at once, in order of arrival.

If chunks contain a single plane, each frame completes a column, and a block contains as many columns as fit. If chunks
span several planes, a block is one column, which stays open until its last plane arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.write_buffer import Sink, Unit

if TYPE_CHECKING:
    from ome_writers.storage.direct.existing_chunks import ExistingChunks
    from ome_writers.storage.zarr import Cell, Grid


class ArraySink(Sink, Protocol):
    """What a block needs of its array, see `StoredArray`."""

    grid: Grid
    one_writer_per_shard: bool
    partial_columns: dict[Cell, set[int]]
    existing: ExistingChunks | None


class Block(Unit):
    """Columns on their way to the disk; see `write_buffer.Unit`."""

    def __init__(
        self,
        array: int,
        sink: ArraySink,
        cell: Cell,
        shard: Cell,
        capacity: int,
        *,
        by_reference: bool,
    ) -> None:
        super().__init__(
            array,
            sink,
            (array, shard) if sink.one_writer_per_shard else None,
            by_reference=by_reference,
            resumable=sink.grid.depth > 1,
        )
        self.shard = shard  # the shard of all columns (index axes only)
        self.capacity = capacity  # maximum number of columns
        # For each column its cell, and the number of the cell's plane of chunks in the shard. A column without an entry
        # is not read or written.
        self.entries: list[tuple[Cell, int]] = []
        self.slots: set[int] = set()  # the filled slots of a column that spans several planes
        # the columns, shape (n, tiles, depth, chunk y, chunk x): the block's own memory, or a list of referenced planes
        self.columns: NDArray[np.generic] | list[NDArray[np.generic]] = []
        self._grid = sink.grid
        self._cell = cell
        self._rewriting = False  # whether the column was full before, and frames are written again
        # whether frames of a column that spans several planes were written again
        self.replaced = False
        self._zeroed = False  # whether empty slots contain the fill value
        self._partial_columns, self._existing = sink.partial_columns, sink.existing

    def set_memory(self, buffer: NDArray[np.uint8]) -> None:
        """Set the memory for copies of frames: `capacity` columns."""
        self._buffers.append(buffer)
        self.columns = buffer.view(self._grid.dtype).reshape(
            self.capacity, *self._grid.column_shape
        )

    def resume(self, column: NDArray[np.generic], slots: set[int]) -> None:
        """Continue a column that was on disk, with these filled slots; an empty set: the column was full."""
        self.columns[0][...] = column
        self.slots |= slots
        self._rewriting = self.replaced = not slots
        self._zeroed = True

    def seal(self, *, resume: bool) -> None:
        """Accept no more frames. With `resume` another block will load the column and continue it."""
        if resume:
            self._partial_columns[self._cell] = set() if self._rewriting else set(self.slots)
        elif self.resumable:
            self._partial_columns.pop(self._cell, None)
            if self._existing is not None:
                self._existing.complete(self._cell)
            if not self._zeroed:
                for slot in set(range(self._grid.depth)) - self.slots:
                    self.columns[0][:, slot] = 0
        super().seal(resume=resume)

    def filled_slots(self) -> frozenset[int]:
        return frozenset(self.slots)

    @property
    def key(self) -> tuple[int, Cell | None]:
        """The array and, where chunks span several planes, the cell."""
        return self.group, self._cell if self.resumable else None

    def addresses(self) -> list[Cell]:
        return [cell for cell, _ in self.entries]

    def snapshot(self, slots: set[int] | frozenset[int]) -> list[NDArray[np.generic]]:
        """Return a copy of a column that is still being filled, with only these slots."""
        column = self.columns[0]
        if self._rewriting:
            return [column.copy()]
        copy = np.zeros_like(column)
        for slot in slots:
            copy[:, slot] = column[:, slot]
        return [copy]

    def accepts(self, shard: Cell, *, by_reference: bool) -> bool:
        """Whether a plane of this shard can be added to the block."""
        if self._grid.depth > 1:
            return True
        same_shard = self.shard == shard or not self._grid.sharded
        return self.by_reference == by_reference and same_shard

    def add(
        self,
        number: int,
        cell: Cell,
        plane: int,
        slot: int,
        frame: NDArray[np.generic],
        buffer: NDArray[np.uint8] | None,
    ) -> None:
        """Add a plane: a copy, or a reference to `frame`: a view of the budget's `buffer`, or of other memory."""
        column = len(self.entries) if self._grid.depth == 1 else 0
        if slot in self.slots:
            self.replaced = True
        if isinstance(self.columns, list):
            self.columns[column:] = [frame.reshape(self._grid.frame_shape)]
            if buffer is None:
                self._reserved_bytes += frame.nbytes
            else:
                self._buffers.append(buffer)
        elif self._grid.one_chunk_per_plane:
            self.columns[column] = frame
        else:
            self._grid.insert_plane(frame, self.columns[column], slot)
        if self._grid.depth > 1:
            self.slots.add(slot)
        if len(self.entries) == column:
            self.entries.append((cell, plane))  # from now on the plane is read and written
        self.frames.append(number)

    @property
    def full(self) -> bool:
        """Whether no more planes fit."""
        if self._grid.depth > 1:
            return len(self.slots) == self._grid.planes_in(self.entries[0][0])
        return len(self.entries) >= self.capacity

    @property
    def nbytes(self) -> int:
        """Size of the columns."""
        return len(self.entries) * self._grid.column_bytes

    @property
    def memory(self) -> memoryview | None:
        """All columns as contiguous bytes; None if they are not contiguous."""
        if self.by_reference:
            return None
        return self._buffers[0].data[: self.nbytes]

    def plane(  # pyright: ignore[reportIncompatibleMethodOverride] # each kind has its own address
        self, cell: Cell, slot: int
    ) -> NDArray[np.generic] | None:
        """Return a copy of a plane; None if the block does not contain it."""
        with self._memory_lock:
            for i in reversed(range(min(len(self.entries), len(self.columns)))):
                if self.entries[i][0] == cell and (self._grid.depth == 1 or slot in self.slots):
                    return self._grid.extract_plane(self.columns[i], slot)
        return None

    def _drop_planes(self) -> None:
        self.columns = []
