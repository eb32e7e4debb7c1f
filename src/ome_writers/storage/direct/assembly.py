"""Frames become blocks in memory, and blocks are handed to the background, within a budget of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.locks import new_lock
from ome_writers.storage.direct.block import Block
from ome_writers.storage.direct.loans import Loans
from ome_writers.storage.memory_pool import MemoryPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.storage.background import Background
    from ome_writers.storage.direct.arrays import StoredArray
    from ome_writers.storage.direct.block import Key
    from ome_writers.storage.zarr.chunk_grid import Cell, Grid

__all__ = ["Assembly"]

# Bytes handed over at once: what a hand-over costs is then little of a write.
_SHARD_BLOCK = 4 * 2**20
# Bytes that are ready before the first frame of a long acquisition: a camera starts with a burst.
_READY = 64 * 2**20
_FILES_BLOCK = 8  # chunk files handed over at once: enough to make the hand-over cheap
# Bytes of a frame so small that it is the interpreter that is behind and not the disk, and blocks that may wait then.
_TINY = 2**12
_LAG = 32


class Assembly:
    """The blocks of all arrays that are being filled, or on their way to disk.

    Parameters
    ----------
    arrays
        Store the blocks.
    background
        Where they do it.
    budget
        The most bytes that frames may take in memory.
    landed
        Told the numbers of frames that are on disk, and their bytes.

    Attributes
    ----------
    lock
        Held while a frame is taken, or handed over.
    coming
        By array: the columns of one plane that are in memory.
    """

    def __init__(
        self,
        arrays: Sequence[StoredArray],
        background: Background,
        budget: int,
        landed: Callable[[Sequence[int], int], None],
    ) -> None:
        self.lock = new_lock()
        self.coming: list[set[Cell]] = [set() for _ in arrays]
        self._arrays = arrays
        self._background = background
        self._landed = landed
        self._share = budget // (2 * len(arrays))  # all arrays may be written by turns
        self._loans = Loans(budget)
        self._pool = MemoryPool(
            budget, self._relieve, lambda: self._loans.nbytes + self._copied_bytes
        )
        self._copied_bytes = 0  # of the loan that is being copied into a block
        self._open: dict[Key, Block] = {}  # oldest first
        # by array: blocks whose frames are in memory
        self._live: list[dict[int, Block]] = [{} for _ in arrays]
        self._parted: dict[Key, set[int]] = {}  # filled slots of columns put aside
        first = arrays[0]
        if not first.quick and first.grid.column_bytes >= _TINY and first.grid.nbytes > _READY:
            nbytes = self._room(first.grid) * first.grid.column_bytes
            self._pool.prepare(nbytes, _READY // nbytes)

    def add(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool,
    ) -> None:
        """Take a plane, by reference where it is `owned` and a chunk; hand its block over when that made it full."""
        grid = self._arrays[array].grid
        cell, slot = grid.split(index)
        shard, plane = grid.shard(cell) if grid.sharded else (cell, 0)
        refers = owned and grid.plain and frame.flags.c_contiguous
        lent = self._loans.pop(frame) if owned and self._loans else None
        if lent is not None and not refers:
            self._copied_bytes = lent.nbytes
        if refers and lent is None:
            self._pool.reserve(frame.nbytes)
        key = (array, None if grid.depth == 1 else cell)
        with self.lock:
            block = self._open.get(key)
            if block is not None and not block.takes(shard, refers=refers):
                self._seal(key)
                block = None
            if block is None:
                block = self._new_block(key, cell, shard, refers)
            block.add(number, cell, plane, slot, frame, lent)
            if grid.depth == 1:
                self.coming[array].add(cell)
            if block.full:
                self._seal(key)
        if lent is not None and not refers:
            self._copied_bytes = 0
            self._pool.release(lent)

    def lend(self, array: int) -> NDArray[np.generic]:
        """Return a writable plane of the pool's memory; see `storage.contract.LendingEngine`."""
        grid = self._arrays[array].grid
        with self._loans.waiting(grid.frame_bytes) as waiting:
            buffer = self._pool.acquire(grid.frame_bytes, waiting)
        frame: NDArray[np.generic] = buffer.view(grid.dtype).reshape(grid.frame_shape)
        self._loans.add(frame, buffer)
        return frame

    def reclaim(self, frame: NDArray[np.generic]) -> None:
        """Take back a lent plane unwritten; one that was taken is none."""
        buffer = self._loans.pop(frame)
        if buffer is not None:
            self._pool.release(buffer)

    def plane(self, array: int, cell: Cell, slot: int) -> NDArray[np.generic] | None:
        """Return a copy of a plane that is in memory; None when it is not."""
        for block in reversed(list(self._live[array].values())):
            plane = block.plane(cell, slot)
            if plane is not None:
                return plane
        return None

    def hand_over(self, *, parts: bool, last: bool = False) -> None:
        """Have all that was taken written; with `parts` also of columns over several planes what is there of them.

        `last` says that nothing more will come.
        """
        with self.lock:
            for key, block in list(self._open.items()):
                if key[1] is None or last:
                    self._seal(key)
                elif parts:
                    self._submit(block, last=False, slots=frozenset(block.slots))

    def recover(self) -> None:
        """Bring all but columns over several planes to disk after an exception has ended a call between two steps."""
        with self.lock:
            held = set(map(id, self._open.values()))
            for block in [block for live in self._live for block in list(live.values())]:
                if id(block) in held:
                    continue
                if block.sealed is not None:
                    self._submit(block, last=True, slots=block.sealed[0])
                elif block.entries:
                    self._parted.pop(block.key, None)
                    self._open[block.key] = block
                else:
                    self._live[block.key[0]].pop(id(block))
            for key in [key for key, block in self._open.items() if not block.entries]:
                self._live[key[0]].pop(id(self._open.pop(key)))
            self.hand_over(parts=False)
            self._background.barrier()
            self._copied_bytes = 0
            open_bytes = sum(block.lent_bytes for block in self._open.values())
            self._pool.set_used(self._loans.nbytes + open_bytes)

    def clear(self) -> None:
        """Give all memory back to the system."""
        self._pool.clear()

    def _new_block(self, key: Key, cell: Cell, shard: Cell, refers: bool) -> Block:
        """Return an empty block with memory, waiting for memory as long as it takes."""
        array = key[0]
        grid = self._arrays[array].grid
        room = self._room(grid)
        block = Block(key, grid, shard, room, refers=refers)
        if not refers:
            if grid.column_bytes < _TINY:
                self._background.wait_until_below(_LAG)
            block.give_memory(self._pool.acquire(room * grid.column_bytes))
        if grid.depth > 1:
            if any(b.key == key for b in list(self._live[array].values())):
                self._background.barrier()  # the column was put aside and is on its way to disk
            column = self._arrays[array].load(cell)
            if column is not None:
                block.take_up(column, self._parted.get(key, set()))
        self._live[array][id(block)] = block
        self._open[key] = block
        self._parted.pop(key, None)
        return block

    def _room(self, grid: Grid) -> int:
        """Return how many columns go into a block."""
        if grid.depth > 1:
            return 1
        room = max(1, min(_SHARD_BLOCK, self._share) // grid.column_bytes)
        return min(room, grid.shard_planes if grid.sharded else _FILES_BLOCK)

    def _seal(self, key: Key, *, final: bool = True) -> None:
        """Hand an open block over; it takes no more frames. Not `final`: its column will be taken up again.

        After an exception in here `recover` hands over what is sealed, and opens again what is not.
        """
        block = self._open.pop(key)
        if final:
            block.complete()
        else:
            self._parted[key] = set(block.slots)
        block.sealed = (None if final else frozenset(block.slots),)
        self._submit(block, last=True, slots=block.sealed[0])

    def _submit(self, block: Block, *, last: bool, slots: frozenset[int] | None) -> None:
        """Hand a block over as it is: with these slots, or None when it is whole."""
        count = len(block.frames)
        frames = block.frames if last else tuple(block.frames)
        array = block.key[0]
        serial_key = self._arrays[array].serial_key(block.shard)
        self._background.submit(
            lambda: self._store(block, count, slots, last),
            frames,
            None if serial_key is None else (array, serial_key),
        )

    def _store(self, block: Block, count: int, slots: frozenset[int] | None, last: bool) -> None:
        """Write a block (in the background): half-full at a flush, or for the last time."""
        array = block.key[0]
        with block.storing:
            if block.stored:
                return  # a flush that came too late, or a block that was handed over twice
            block.stored = last
            try:
                self._arrays[array].store(block, slots)
                done = len(block.frames) if last else count
                self._landed(block.frames[:done], block.nbytes)
                del block.frames[:done]
            finally:
                if last:
                    self._live[array].pop(id(block), None)
                    self.coming[array].difference_update(cell for cell, _ in block.entries)
                    block.free(self._pool)

    def _relieve(self) -> None:
        """Put the oldest open block on its way when nothing else would give memory back."""
        if self._background.depth:
            return
        with self.lock:
            key = next(iter(self._open), None)
            if key is not None:
                self._seal(key, final=key[1] is None)
