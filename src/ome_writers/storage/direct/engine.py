"""The direct engine: accepts planes in any order, and buffers at most its memory budget."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.storage.contract import EngineStats, ExistingArray, Options, WriteFailure
from ome_writers.storage.direct.arrays import StoredArray
from ome_writers.storage.direct.block import Block
from ome_writers.storage.direct.write_through import WriteThrough
from ome_writers.storage.disk import Disk
from ome_writers.storage.store import LocalStore, Store
from ome_writers.storage.write_buffer import WriteBuffer
from ome_writers.storage.zarr import ArrayMetadataWriter, Cell, Grid

if TYPE_CHECKING:
    from ome_writers.storage.evictable_files import EvictableFiles

# With so many pending blocks, large frames are written through as well: the workers are behind.
_MIN_QUEUE_DEPTH = 3
# Large enough that submitting a block costs little compared to writing it.
_SHARD_BLOCK_BYTES = 4 * 2**20
_MAX_FILES_PER_BLOCK = 8  # chunk files
# Allocated before the first frame of a long acquisition: cameras start with a burst.
_PREPARED_BYTES = 64 * 2**20
# Below this size of a frame the interpreter is the bottleneck, not the disk; then fewer blocks may be pending.
_TINY_FRAME_BYTES = 2**12
_MAX_PENDING_TINY_BLOCKS = 32

_TRUNCATE_TIMEOUT_S = 1.0  # for other processes to close a file that `close` truncates


def open_engine(root: Path | Store, targets: Sequence[LevelSpec], options: Options) -> DirectEngine:
    """Create the arrays of `targets` below `root`, or continue them; shards need a store of files."""
    store = root if isinstance(root, Store) else LocalStore(root, durable=options.durable)
    return DirectEngine(store, targets, options)


class DirectEngine:
    """Writes Zarr v3 chunks and shards without a library; see `storage.contract.Engine`."""

    def __init__(self, store: Store, targets: Sequence[LevelSpec], options: Options) -> None:
        self.put = store.put
        self._disk = Disk(durable=options.durable, direct_io=options.direct_io)
        self._store = store
        self._arrays: list[StoredArray] = []
        self._array_metadata = ArrayMetadataWriter(store.put, ())
        self._open(targets, options.existing)
        self._evicts = False  # then `append` writes nothing itself: it may have to wait for space
        self._write_through = WriteThrough()
        self._min_queue_depth = 0 if options.processors_busy else _MIN_QUEUE_DEPTH
        self._buffer: WriteBuffer[Block] = WriteBuffer(
            len(targets), options.buffer_bytes, "ome-writers-direct", syncs=options.durable
        )
        self._background = self._buffer.background
        self._share_compression(self._arrays)
        self.failures = self._background.failures
        self._buffer_bytes = options.buffer_bytes
        self.reclaim = self._buffer.budget.reclaim  # see `storage.contract.LendingEngine`
        self._flush_lock = threading.Lock()
        # by array: frames that no index or shape includes yet
        self._written_through: list[list[int]] = [[] for _ in targets]
        self._derived_through = 0  # planes written through that are not frames
        self._closed = False
        first = self._arrays[0]
        long = first.grid.nbytes > _PREPARED_BYTES
        if (
            long
            and not first.prefers_write_through
            and first.grid.column_bytes >= _TINY_FRAME_BYTES
        ):
            nbytes = self._block_capacity(first.grid) * first.grid.column_bytes
            self._buffer.budget.prepare(nbytes, _PREPARED_BYTES // nbytes)

    def add_arrays(
        self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray] = ()
    ) -> int:
        """See `storage.contract.ExtensibleEngine`."""
        with self._flush_lock:
            first = len(self._arrays)
            added = self._open(targets, existing)
            self._share_compression(added)
            self._written_through += ([] for _ in added)
            self._buffer.add_groups(len(added))
            return first

    def _open(
        self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray]
    ) -> Sequence[StoredArray]:
        """Create arrays, or continue `existing` ones."""
        arrays = [StoredArray(self._store, target, self._disk) for target in targets]
        if existing:
            from ome_writers.storage.direct.existing_chunks import ExistingChunks
            from ome_writers.storage.direct.finished_files import read_moved_chunks

            for stored, each in zip(arrays, existing, strict=True):
                stored.existing = ExistingChunks(stored.grid, each.planes)
            read_moved_chunks(self._store, arrays)
        shapes = [each.shape for each in existing] or [target.shape for target in targets]
        if not existing:
            ArrayMetadataWriter(self._store.put, targets).write(shapes)
        self._array_metadata.add(targets, shapes)
        self._arrays += arrays
        return arrays

    def _share_compression(self, arrays: Sequence[StoredArray]) -> None:
        """Have idle workers compress chunks, too."""
        if not all(array.identity for array in arrays):
            from ome_writers.storage.shared_work import map_shared

            for array in arrays:
                array.map = partial(map_shared, self._background)

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        stored = self._arrays[array]
        buffered = self._buffer.addresses[array]
        if buffered and stored.grid.split(index)[0] in buffered:
            # Otherwise the earlier frame could overwrite this one.
            self._buffer.write_all(resumable=False)
        if (
            stored.can_write_through
            and not owned
            and not self._evicts
            and (stored.prefers_write_through or self._background.depth >= self._min_queue_depth)
        ):
            try:
                if self._write_through.write(stored, index, frame):
                    self._written_through[array].append(number)
                    if number < 0:
                        self._derived_through += 1
                    return
            except Exception as error:
                self._background.failures.append(WriteFailure(error, (number,)))
                return
        buffer = self._buffer
        grid = stored.grid
        cell, slot = grid.split(index)
        shard, plane = grid.shard(cell) if grid.sharded else (cell, 0)
        by_reference = owned and stored.references_planes and frame.flags.c_contiguous
        lent = buffer.budget.end_loan(frame) if by_reference else None
        if by_reference and lent is None:
            buffer.budget.reserve(frame.nbytes)
        with buffer.lock:
            block = buffer.open.get((array, None if grid.depth == 1 else cell))
            if block is not None and not block.accepts(shard, by_reference=by_reference):
                buffer.submit(block)
                block = None
            if block is None:
                block = self._new_block(array, cell, shard, by_reference, number)
            if block is not None:
                block.add(number, cell, plane, slot, frame, lent)
                if grid.depth == 1:
                    buffer.addresses[array].add(cell)
                if block.full:
                    buffer.submit(block)
        if owned and not by_reference:
            buffer.budget.reclaim(frame)

    def lend(self, array: int) -> NDArray[np.generic]:
        grid = self._arrays[array].grid
        return self._buffer.budget.lend(grid.frame_shape, grid.dtype)

    def recover(self, number: int) -> bool:
        self._buffer.recover()
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            self._buffer.write_all()
            self._publish(shapes, finish=False)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        stored = self._arrays[array]
        cell, slot = stored.grid.split(index)
        return self._buffer.read(
            partial(self._buffer.plane, array, cell, slot),
            partial(stored.load_plane, cell, slot),
            lambda: self._buffer.planes_written + self._write_through.planes,
        )

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            if self._closed:
                return
            self._closed = True
            self._buffer.write_all(last=True)
            self._publish(shapes, finish=True)
            self._background.close()
            self._disk.close()
            self._buffer.budget.clear()

    def start_eviction(self, wait_for_space: Callable[[], None]) -> EvictableFiles:
        """See `storage.EvictingEngine`."""
        from ome_writers.storage.direct.finished_files import FinishedFiles

        self._buffer.before_store = wait_for_space
        self._evicts = True
        return FinishedFiles(self._store, self._arrays, self._buffer)

    def stats(self) -> EngineStats:
        stats, direct = self._buffer.stats(), self._write_through
        return dataclasses.replace(
            stats,
            frames_written=stats.frames_written + direct.planes - self._derived_through,
            bytes_written=stats.bytes_written + direct.nbytes,
        )

    def _new_block(
        self, array: int, cell: Cell, shard: Cell, by_reference: bool, number: int
    ) -> Block | None:
        """Return a block with memory, with the planes of the column on disk. Blocks while the memory budget is used up.

        Returns None if those cannot be read: that is a failure of frame `number`.
        """
        buffer, stored = self._buffer, self._arrays[array]
        grid = stored.grid
        capacity = self._block_capacity(grid)
        block = Block(array, stored, cell, shard, capacity, by_reference=by_reference)
        if not by_reference:
            if grid.column_bytes < _TINY_FRAME_BYTES:
                buffer.background.wait_until_below(_MAX_PENDING_TINY_BLOCKS)
            block.set_memory(buffer.budget.acquire(capacity * grid.column_bytes))
        if grid.depth > 1:
            if buffer.is_in_memory(array, block.key):
                buffer.background.barrier()  # the partial column is being written
            try:
                column = stored.load(cell)
            except Exception as error:  # of the disk, or of the codec
                buffer.background.failures.append(WriteFailure(error, (number,)))
                block.release(buffer.budget)
                return None
            if column is not None:
                block.resume(column, stored.partial_slots(cell))
        buffer.add(block)
        stored.partial_columns.pop(cell, None)
        return block

    def _block_capacity(self, grid: Grid) -> int:
        """Return the maximum number of columns in a block."""
        if grid.depth > 1:
            return 1
        share = self._buffer_bytes // (2 * len(self._arrays))
        capacity = max(1, min(_SHARD_BLOCK_BYTES, share) // grid.column_bytes)
        return min(capacity, grid.shard_planes if grid.sharded else _MAX_FILES_PER_BLOCK)

    def _publish(self, shapes: Sequence[tuple[int, ...]], *, finish: bool) -> None:
        """Write indexes and array metadata. An error is a failure of the array's frames since the last call."""
        frames, self._written_through = self._written_through, [[] for _ in self._arrays]
        for block, numbers in self._buffer.pop_stored():
            frames[block.group] += numbers
        deadline = time.monotonic() + _TRUNCATE_TIMEOUT_S
        for array, of_array in zip(self._arrays, frames, strict=True):
            publish = partial(array.finish, deadline) if finish else array.flush
            self._collect_error(publish, of_array)
        of_all = [number for of_array in frames for number in of_array]
        self._collect_error(self._disk.sync_all, of_all)
        self._collect_error(partial(self._array_metadata.write, shapes), of_all)

    def _collect_error(self, step: Callable[[], object], frames: Sequence[int]) -> None:
        try:
            step()
        except OSError as error:
            self._background.failures.append(WriteFailure(error, tuple(frames)))
