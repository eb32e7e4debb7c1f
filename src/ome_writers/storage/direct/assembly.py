"""Assemble frames into blocks and submit the blocks to the background, within a memory budget."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ome_writers.locks import new_lock
from ome_writers.storage.direct.block import Block
from ome_writers.storage.memory_budget import MemoryBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.storage.background import Background
    from ome_writers.storage.direct.arrays import StoredArray
    from ome_writers.storage.direct.block import Key
    from ome_writers.storage.zarr import Cell, Grid

__all__ = ["Assembly"]

# Large enough that submitting a block costs little compared to writing it.
_SHARD_BLOCK_BYTES = 4 * 2**20
_MAX_FILES_PER_BLOCK = 8  # chunk files
# Allocated before the first frame of a long acquisition: cameras start with a burst.
_PREPARED_BYTES = 64 * 2**20
# Below this size of a frame the interpreter is the bottleneck, not the disk; then fewer blocks may be pending.
_TINY_FRAME_BYTES = 2**12
_MAX_PENDING_TINY_BLOCKS = 32


class Assembly:
    """The blocks of all arrays that are being filled or written.

    Parameters
    ----------
    arrays
        Write the blocks.
    background
        Runs the writes.
    max_bytes
        Maximum bytes of frames in memory.
    on_written
        Called with the numbers of frames that are on disk, their bytes, and how many of these were copied.

    Attributes
    ----------
    budget
        The memory of all blocks and lent frames.
    lock
        Held while a frame is added, or a block is submitted.
    buffered
        By array: the cells of single planes that are in memory.
    """

    def __init__(
        self,
        arrays: Sequence[StoredArray],
        background: Background,
        max_bytes: int,
        on_written: Callable[[Sequence[int], int, int], None],
    ) -> None:
        self.lock = new_lock()
        self.buffered: list[set[Cell]] = [set() for _ in arrays]
        self._arrays = arrays
        self._background = background
        self._on_written = on_written
        self._max_block_bytes = min(_SHARD_BLOCK_BYTES, max_bytes // (2 * len(arrays)))
        self.budget = MemoryBudget(max_bytes, self._relieve)
        self._open: dict[Key, Block] = {}  # oldest first
        # by array and id: blocks whose frames are in memory
        self._live: list[dict[int, Block]] = [{} for _ in arrays]
        self._partial: dict[
            Key, set[int]
        ] = {}  # filled slots of columns written before they were full
        first = arrays[0]
        long = first.grid.nbytes > _PREPARED_BYTES
        if (
            long
            and not first.prefers_write_through
            and first.grid.column_bytes >= _TINY_FRAME_BYTES
        ):
            nbytes = self._block_capacity(first.grid) * first.grid.column_bytes
            self.budget.prepare(nbytes, _PREPARED_BYTES // nbytes)

    def add(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool,
    ) -> None:
        """Add a plane, by reference if it is `owned` and a complete chunk; submit its block if it is full."""
        grid = self._arrays[array].grid
        cell, slot = grid.split(index)
        shard, plane = grid.shard(cell) if grid.sharded else (cell, 0)
        by_reference = owned and grid.one_chunk_per_plane and frame.flags.c_contiguous
        lent = self.budget.end_loan(frame) if by_reference else None
        if by_reference and lent is None:
            self.budget.reserve(frame.nbytes)
        key = (array, None if grid.depth == 1 else cell)
        with self.lock:
            block = self._open.get(key)
            if block is not None and not block.accepts(shard, by_reference=by_reference):
                self._submit(block)
                block = None
            if block is None:
                block = self._new_block(key, cell, shard, by_reference)
            block.add(number, cell, plane, slot, frame, lent)
            if grid.depth == 1:
                self.buffered[array].add(cell)
            if block.full:
                self._submit(block)
        if owned and not by_reference:
            self.budget.reclaim(frame)

    def plane(self, array: int, cell: Cell, slot: int) -> NDArray[np.generic] | None:
        """Return a copy of a plane in memory; None if it is not in memory."""
        for block in reversed(list(self._live[array].values())):
            plane = block.plane(cell, slot)
            if plane is not None:
                return plane
        return None

    def submit_all(self, *, incomplete: bool, last: bool = False) -> None:
        """Submit all open blocks; those of several planes per chunk only if `incomplete`, and they stay open.

        With `last`, no more frames follow, and no block stays open.
        """
        with self.lock:
            for block in list(self._open.values()):
                if block.key[1] is None or last or incomplete:
                    self._submit(block, last=last or block.key[1] is None)

    def recover(self) -> None:
        """Restore a consistent state after an exception in `add`, and write all blocks of single planes."""
        with self.lock:
            open_ids = set(map(id, self._open.values()))
            for block in [block for live in self._live for block in list(live.values())]:
                if id(block) in open_ids:
                    continue
                if block.sealed is not None:
                    self._submit(block)
                elif block.entries:
                    self._partial.pop(block.key, None)
                    self._open[block.key] = block
                else:
                    self._live[block.key[0]].pop(id(block))
            for key in [key for key, block in self._open.items() if not block.entries]:
                self._live[key[0]].pop(id(self._open.pop(key)))
            self.submit_all(incomplete=False)
            self._background.barrier()
            self.budget.set_used(sum(block.used_bytes for block in self._open.values()))

    def _new_block(self, key: Key, cell: Cell, shard: Cell, by_reference: bool) -> Block:
        """Return an empty block with memory. Blocks while the memory budget is used up."""
        array = key[0]
        grid = self._arrays[array].grid
        capacity = self._block_capacity(grid)
        block = Block(key, grid, shard, capacity, by_reference=by_reference)
        if not by_reference:
            if grid.column_bytes < _TINY_FRAME_BYTES:
                self._background.wait_until_below(_MAX_PENDING_TINY_BLOCKS)
            block.set_memory(self.budget.acquire(capacity * grid.column_bytes))
        if grid.depth > 1:
            if any(b.key == key for b in list(self._live[array].values())):
                self._background.barrier()  # the partial column is being written
            column = self._arrays[array].load(cell)
            if column is not None:
                block.resume(column, self._partial.get(key, set()))
        self._live[array][id(block)] = block
        self._open[key] = block
        self._partial.pop(key, None)
        return block

    def _block_capacity(self, grid: Grid) -> int:
        """Return the maximum number of columns in a block."""
        if grid.depth > 1:
            return 1
        capacity = max(1, self._max_block_bytes // grid.column_bytes)
        return min(capacity, grid.shard_planes if grid.sharded else _MAX_FILES_PER_BLOCK)

    def _submit(self, block: Block, *, last: bool = True, resume: bool = False) -> None:
        """Submit a block in its current state. If this is the `last` time, it accepts no more frames.

        With `resume` its column will get more frames, in another block. After an exception in this method `recover`
        submits sealed blocks, and reopens others.
        """
        if last and block.sealed is None:
            del self._open[block.key]
            if resume:
                self._partial[block.key] = block.resumable_slots
            else:
                block.clear_empty_slots()
            block.sealed = (frozenset(block.slots) if resume else None,)
        slots = frozenset(block.slots) if block.sealed is None else block.sealed[0]
        array = block.key[0]
        self._background.submit(
            partial(self._store, block, len(block.frames), slots, last),
            block.frames if last else tuple(block.frames),
            (array, block.shard) if self._arrays[array].uncompressed_shards else None,
        )

    def _store(self, block: Block, count: int, slots: frozenset[int] | None, last: bool) -> None:
        """Write a block (in the background): partially filled at a flush, or finally with `last`."""
        array = block.key[0]
        with block.store_lock:
            if block.stored:
                return  # the final write overtook a flush, or the block was submitted twice
            block.stored = last
            try:
                self._arrays[array].store(block, slots)
                written = len(block.frames) if last else count
                copied = 0 if block.by_reference else written * self._arrays[array].grid.frame_bytes
                self._on_written(block.frames[:written], block.nbytes, copied)
                del block.frames[:written]
            finally:
                if last:
                    self._live[array].pop(id(block), None)
                    self.buffered[array].difference_update(cell for cell, _ in block.entries)
                    block.release_memory(self.budget)

    def _relieve(self) -> bool:
        """Submit the oldest open block if no pending write will release memory."""
        if not self._background.depth:
            with self.lock:
                block = next(iter(self._open.values()), None)
                if block is not None:
                    self._submit(block, resume=block.key[1] is not None)
        return False
