"""The engine: takes planes in any order, returns at once, and is never behind by more than its budget."""

# Longer than 300 lines: the contract's calls with their documentation; the work is done in the room's other files.
from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.background import Background, machine_width
from ome_writers.storage.contract import EngineStats, Failure
from ome_writers.storage.direct.arrays import StoredArray
from ome_writers.storage.direct.assembly import Block
from ome_writers.storage.direct.pace import Pace
from ome_writers.storage.disk import Disk
from ome_writers.storage.files import replace
from ome_writers.storage.pool import Pool
from ome_writers.storage.zarr.shown import ShownArrays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.zarr.grid import Cell

__all__ = ["DirectEngine", "open_engine"]

# Bytes handed over at once: what a hand-over costs is then little of a write.
_SHARD_BLOCK = 4 * 2**20
# Bytes of a frame that may go straight to the disk. Larger ones gain from a second core; several that are smaller gain
# from sharing one write, where they go into one file.
_SMALL = 2**18
_TINY = 2**12
_BEHIND = 3  # blocks under way, from which on the caller's thread writes, too
_LOOKS = 4  # of a reader, before it has the writer wait
_PATIENCE = 1.0  # seconds that `close` waits for other processes to close a file that it will cut
# Blocks under way, of frames so small that it is the interpreter that is behind and not the disk.
_LAG = 32
_FILES_BLOCK = 8  # chunk files handed over at once: enough to make the hand-over cheap


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> DirectEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    return DirectEngine(root, targets, options)


class DirectEngine:
    """Writes Zarr v3 chunks and shards straight to local files; see `storage.contract.Engine`."""

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._targets = tuple(targets)
        self._durable = options.durable
        # all arrays may be written by turns
        self._share = options.buffer_bytes // (2 * len(targets))
        self._shown = ShownArrays(root, [(t.key, t.plan) for t in targets], durable=options.durable)
        self._disk = Disk(durable=options.durable, direct_io=options.direct_io)
        self._pool = Pool(options.buffer_bytes, self._relieve)
        self._arrays = [StoredArray(root / t.key, t.plan, self._disk) for t in targets]
        self._pace = Pace()
        self._seated: StoredArray | None = None  # that has got a frame straight from the caller
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._open: dict[tuple[int, Cell | None], Block] = {}  # oldest first
        self._live: dict[int, dict[int, Block]] = {}  # by array: blocks whose frames are in memory
        # by array: the columns of one plane in them
        self._coming: list[set[Cell]] = [set() for _ in targets]
        self._parted: dict[tuple[int, Cell], set[int]] = {}  # filled slots of columns put aside
        self._lent: dict[int, NDArray[np.uint8]] = {}
        self._frames_written = 0
        self._bytes_written = 0
        self._unindexed: list[int] = []  # frames on disk that no index or shape told of yet
        self._closed = False
        self._shown.show([t.plan.shape for t in targets])
        self._background = Background(machine_width(), name="ome-writers-direct")

    @property
    def failures(self) -> Sequence[Failure]:
        """Every error of a worker so far."""
        return self._background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Take one plane; see `storage.contract.Engine.write`."""
        stored = self._arrays[array]
        coming = self._coming[array]
        if coming and stored.grid.split(index)[0] in coming:
            self._write_all()  # or the earlier frame could land behind this one
        if stored.passes and not owned and self._write_through(stored, index, number, frame):
            return
        grid = stored.grid
        cell, slot = grid.split(index)
        shard, plane = grid.shard(cell) if grid.sharded else (cell, 0)
        refer = owned and grid.plain and frame.flags.c_contiguous
        lent = self._lent.pop(id(frame), None) if owned and self._lent else None
        if refer and lent is None:
            self._pool.reserve(frame.nbytes)
        key = (array, None if grid.depth == 1 else cell)
        with self._lock:
            block = self._matching(key, shard, refer)
            if block is not None:
                self._put(block, key, cell, plane, slot, number, frame, lent if refer else None)
        if block is None:
            block = self._new_block(array, cell, shard, refer)
            with self._lock:
                self._open[key] = block
                self._live.setdefault(array, {})[id(block)] = block
                self._put(block, key, cell, plane, slot, number, frame, lent if refer else None)
        if lent is not None and not refer:
            self._pool.release(lent)

    def lend(self, array: int) -> NDArray[np.generic]:
        """Return a writable plane of the pool's memory; see `storage.contract.LendingEngine`."""
        plan = self._targets[array].plan
        buffer = self._pool.take(plan.frame_bytes)
        frame: NDArray[np.generic] = buffer.view(plan.dtype).reshape(plan.frame_shape)
        self._lent[id(frame)] = buffer
        return frame

    def reclaim(self, frame: NDArray[np.generic]) -> None:
        """Take back a lent plane unwritten; one that was taken is none."""
        buffer = self._lent.pop(id(frame), None)
        if buffer is not None:
            self._pool.release(buffer)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring all that was taken to disk and show it; see `storage.contract.Engine.flush`."""
        with self._flushing:
            with self._lock:
                for key, block in list(self._open.items()):
                    if key[1] is None:
                        self._seal(key, final=True)
                    else:
                        self._submit(block, final=False)
            self._background.barrier()
            self._publish(shapes, finish=False)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from disk."""
        stored = self._arrays[array]
        cell, slot = stored.grid.split(index)
        for _ in range(_LOOKS):
            landed = self._frames_written
            plane = self._in_memory(array, cell, slot)
            if plane is not None:
                return plane
            column = stored.load(cell)
            plane = self._in_memory(array, cell, slot)
            if plane is not None:
                return plane
            # no frame has come and landed meanwhile: none was half on disk
            if landed == self._frames_written:
                return stored.grid.blank() if column is None else stored.grid.plane(column, slot)
        with self._lock:  # no frame can come now
            plane = self._in_memory(array, cell, slot)
            if plane is not None:
                return plane
            column = stored.load(cell)
            return stored.grid.blank() if column is None else stored.grid.plane(column, slot)

    def _in_memory(self, array: int, cell: Cell, slot: int) -> NDArray[np.generic] | None:
        for block in reversed(list(self._live.get(array, {}).values())):
            plane = block.plane(cell, slot)
            if plane is not None:
                return plane
        return None

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root."""
        replace(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring everything to disk in its final form; see `storage.contract.Engine.close`."""
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            with self._lock:
                for key in list(self._open):
                    self._seal(key, final=True)
            self._background.drain()
            self._publish(shapes, finish=True)
            self._background.close()
            self._disk.close()
            self._pool.clear()

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        return EngineStats(self._frames_written, self._bytes_written, self._background.depth)

    def _write_through(
        self, stored: StoredArray, index: tuple[int, ...], number: int, frame: NDArray[np.generic]
    ) -> bool:
        """Write a frame in the caller's thread where that is cheaper than to hand it over; False: it is not."""
        nbytes = frame.nbytes
        began = time.perf_counter()
        if began < self._pace.again:
            return False
        small = stored.identity and (_TINY if stored.serial else 0) <= nbytes <= _SMALL
        if not small and (stored.serial or self._background.depth < _BEHIND):
            return False
        try:
            # one file at a time is kept open for this, not one for each array
            if stored is not self._seated:
                if self._seated is not None:
                    self._seated.rise()
                self._seated = stored
            if not frame.flags.c_contiguous:
                frame = np.ascontiguousarray(frame)
            written = stored.put(index, frame)
        except Exception as error:
            self._background.failures.append(Failure(error, (number,)))
            return True
        self._pace.took(time.perf_counter() - began, written)
        with self._counting:
            self._frames_written += 1
            self._bytes_written += nbytes
            self._unindexed.append(number)
        return True

    def _matching(self, key: tuple[int, Cell | None], shard: Cell, refer: bool) -> Block | None:
        """Return the open block that takes the next frame; close the one that does not."""
        block = self._open.get(key)
        if block is None or key[1] is not None:
            return block
        if (
            block.shard == shard or not self._arrays[key[0]].grid.sharded
        ) and block.refers == refer:
            return block
        self._seal(key, final=True)
        return None

    def _new_block(self, array: int, cell: Cell, shard: Cell, refer: bool) -> Block:
        """Return an empty block with memory, waiting for memory as long as it takes."""
        grid = self._arrays[array].grid
        room = 1
        if grid.depth == 1:
            room = max(1, min(_SHARD_BLOCK, self._share) // grid.column_bytes)
            room = min(room, grid.shard_planes if grid.sharded else _FILES_BLOCK)
        block = Block(array, grid, shard, room, refers=refer)
        if refer:
            return block
        if grid.column_bytes < _TINY:
            self._background.await_room(_LAG)
        block.give_memory(self._pool.take(room * grid.column_bytes))
        if grid.depth > 1:
            if any(cell in b.cells for b in list(self._live.get(array, {}).values())):
                self._background.barrier()  # the column was put aside and is on its way to disk
            column = self._arrays[array].load(cell)
            if column is not None:
                block.take_up(column, self._parted.pop((array, cell), set()))
        return block

    def _put(
        self,
        block: Block,
        key: tuple[int, Cell | None],
        cell: Cell,
        plane: int,
        slot: int,
        number: int,
        frame: NDArray[np.generic],
        lent: NDArray[np.uint8] | None,
    ) -> None:
        """Add a plane to an open block; hand the block over when that made it whole."""
        grid = self._arrays[block.array].grid
        block.frames.append(number)
        if grid.depth > 1:
            grid.place(frame, block.columns[0], slot)
            block.slots.add(slot)
            if not block.cells:
                block.cells.append(cell)
                block.planes.append(plane)
            if len(block.slots) == grid.planes(cell):
                self._seal(key, final=True)
            return
        if block.refers:
            block.hand_over(frame, lent)
        else:
            grid.place(frame, block.columns[len(block.cells)], 0)
        block.planes.append(plane)
        block.cells.append(cell)
        self._coming[block.array].add(cell)
        if block.full:
            self._seal(key, final=True)

    def _seal(self, key: tuple[int, Cell | None], *, final: bool) -> None:
        """Hand an open block over; it takes no more frames."""
        block = self._open.pop(key)
        if final:
            block.complete()
        elif key[1] is not None:
            self._parted[(key[0], key[1])] = set(block.slots)
        self._submit(block, final=final, last=True)

    def _submit(self, block: Block, *, final: bool, last: bool = False) -> None:
        """Hand a block over as it is (with the lock held)."""
        count = len(block.frames)
        frames = block.frames if last else tuple(block.frames)
        slots = None if final else frozenset(block.slots)
        strand = self._arrays[block.array].strand(block.shard)
        self._background.submit(
            lambda: self._store(block, count, slots, last),
            frames,
            None if strand is None else (block.array, strand),
        )

    def _store(self, block: Block, count: int, slots: frozenset[int] | None, last: bool) -> None:
        """Write a block (in the background): half-full at a flush, with these slots, or for the last time."""
        try:
            with block.storing:
                if block.stored:
                    return  # a flush that came too late
                block.stored = last
                self._arrays[block.array].store(block, slots)
                done = len(block.frames) if last else count
                with self._counting:
                    self._unindexed += block.frames[:done]
                    self._frames_written += done
                    self._bytes_written += block.nbytes
                del block.frames[:done]
        finally:
            if last:
                self._live[block.array].pop(id(block), None)
                self._coming[block.array].difference_update(block.cells)
                block.free(self._pool)

    def _write_all(self) -> None:
        """Return when each column of one plane that was taken is on disk."""
        with self._lock:
            for key in list(self._open):
                if key[1] is None:
                    self._seal(key, final=True)
        self._background.barrier()

    def _relieve(self) -> None:
        """Put the oldest open block on its way when nothing else would give memory back."""
        if self._background.depth:
            return
        with self._lock:
            key = next(iter(self._open), None)
            if key is not None:
                self._seal(key, final=key[1] is None)

    def _publish(self, shapes: Sequence[tuple[int, ...]], *, finish: bool) -> None:
        """Bring indexes and shapes up to date; an error is kept like a worker's."""
        with self._counting:
            frames, self._unindexed = self._unindexed, []
        try:
            patience = time.monotonic() + _PATIENCE
            for array in self._arrays:
                if finish:
                    array.finish(patience)
                else:
                    array.flush()
            self._disk.sync_all()
            self._shown.show(shapes)
        except OSError as error:
            self._background.failures.append(Failure(error, tuple(frames)))
