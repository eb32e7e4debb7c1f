"""Shard files that are valid at any time, while chunks are added.

The index is at the end of the file, because browser-based readers support no other location. A new file therefore has
the maximum size of its content (sparse, without allocated blocks). Chunks are added from the front, and each flush
updates the index. After the last chunk it is written directly after the data, and the file is truncated there::

    open      | chunk | chunk | ....hole.... | extent | extent | .. | index |
    complete  | chunk | chunk | chunk | index |

A partially filled chunk that is flushed goes to an extent of the free list, a different one each time, so that bytes
that an index points to are never overwritten. The full chunk follows the other full chunks. A chunk that is written
again is handled in the same way; if it is uncompressed, it is overwritten in place. Extents that readers may still
need stay in the file (see `free_list`), if necessary between data and index.

With `Disk.durable` chunks are synced before the index, and the index before the file is truncated. Power loss can tear
an index that is overwritten, but not its entries, which are aligned: `recovery` checks each of them. While the index
moves to a new end of the file, a copy of it is in a temporary file beside the shard.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers.file_sharing import rename, truncate, update_timestamp
from ome_writers.locks import new_lock
from ome_writers.storage.disk import Disk
from ome_writers.storage.positional_io import (
    Piece,
    open_new,
    read_at,
    read_fully,
    write_at,
    write_single,
)
from ome_writers.storage.zarr import shard_index
from ome_writers.storage.zarr.free_list import FreeList
from ome_writers.storage.zarr.shard_index import EMPTY, ShardIndexFormat, TornIndexError

Indices = NDArray[np.int64]

_GROWTH_EXTENTS = 16  # added to a file at a time


class ShardShape:
    """Properties shared by the shards of one array."""

    def __init__(self, chunks: int, max_chunk_bytes: int, *, in_place: bool) -> None:
        self.chunks = chunks  # number of chunks in a shard, and of entries in its index
        self.max_chunk_bytes = max_chunk_bytes  # maximum size of a stored chunk
        # whether every full chunk has the same size, so that it can be overwritten in place
        self.in_place = in_place
        self.index_format = ShardIndexFormat(chunks)
        self.index_bytes = self.index_format.nbytes


class Shard:
    """One shard file in an existing directory.

    `expected` is the number of chunks in a complete acquisition, None for a file that is only read. `partial` has the
    numbers of those chunks of an existing file that will get more frames.
    """

    def __init__(
        self,
        path: Path,
        shape: ShardShape,
        expected: int | None,
        disk: Disk,
        partial: Sequence[int] = (),
    ) -> None:
        self.path = path
        self.complete = False  # whether the file has its final size
        # number of threads that are adding chunks, counted by the owner of the shard
        self.users = 0
        self._shape = shape
        self._disk = disk
        self._lock = new_lock()
        self._write_lock = new_lock()  # concurrent writes to one file would wait in the kernel
        self._index = shard_index.empty_index(shape.chunks)
        self._expected = expected or 0
        self._tail = 0  # offset of the next new chunk
        self._capacity = self._expected * shape.max_chunk_bytes
        self._index_at = shard_index.align_index(self._capacity)
        self._free_list = FreeList(shape.max_chunk_bytes)
        self._final = np.zeros(shape.chunks, dtype=bool)
        self._dirty = False
        if expected is None or path.exists():
            self._load_existing(partial)
        else:
            self._create()
        # The same memory as flat sequences of integers: the fast path of `write_chunk`.
        self._entries = self._index.data.cast("B").cast("Q")
        self._final_flags = self._final.data.cast("B")

    def write_chunks(
        self,
        inner: Indices,
        sizes: Indices,
        parts: Sequence[bytes | memoryview] | Iterator[Piece],
        *,
        final: bool = True,
    ) -> None:
        """Write the chunks with the numbers `inner`; `final` if they will not get more frames.

        `parts` contains either each stored chunk, in one or more buffers, or a single buffer with all of them side by
        side; or is an iterator over the stored chunks. Readers see the chunks after the next `flush` or `finish`.
        """
        with self._lock:
            if self.complete and not (self._shape.in_place and self._final[inner].all()):
                # Make space for more chunks: the file grows and stays valid.
                self._move_index(max(self._capacity, self._index_at + self._shape.index_bytes))
                self.complete = False
            offsets = self._allocate(inner, sizes, final)
        with self._write_lock:
            self._disk.write(self.path, parts, offsets, sizes)
        with self._lock:
            if self._free_list:
                self._free_list.release({*self._index[inner, 0].tolist()} - {*offsets.tolist()})
            self._index[inner] = np.column_stack((offsets, sizes))
            self._dirty = True
            if final:
                self._final[inner] = True

    def write_chunk(self, fd: int, inner: int, chunk: Piece, nbytes: int) -> None:
        """Write one full, encoded chunk to the open file: the fast path of `write_chunks`."""
        with self._lock:
            if not (self.complete or self._final_flags[inner]):
                if self._tail + nbytes > self._capacity:
                    self._check_capacity(nbytes)
                tail, at, end = self._tail, 2 * inner, self._tail + nbytes
                write_single(fd, chunk, nbytes, tail)
                entries, flags, self._dirty = self._entries, self._final_flags, True
                # one statement, which KeyboardInterrupt cannot split
                entries[at], entries[at + 1], flags[inner], self._tail = tail, nbytes, 1, end
                return
        self.write_chunks(
            np.asarray([inner]), np.asarray([nbytes]), [np.frombuffer(chunk, np.uint8).data]
        )

    def flush(self) -> None:
        """Publish all written chunks to readers."""
        with self._lock:
            if self._dirty and not self.complete:
                with self._disk.use(self.path) as fd:
                    self._write_index(fd)
                update_timestamp(self.path)

    @property
    def full(self) -> bool:
        """Whether all expected chunks have been written."""
        return not self._missing

    @property
    def _missing(self) -> int:
        return max(0, self._expected - int(np.count_nonzero(self._final)))

    @property
    def grace_period_over(self) -> bool:
        """Whether `finish` would truncate the file directly after its chunks: readers need no other extent."""
        return self._free_list.end_in_use <= shard_index.end_of_data(self._index)

    def finish(self, *, only_if_unused: bool = False) -> bool:
        """Move the index directly after the data and truncate the file; return whether it is complete.

        With `only_if_unused`, keep the size while another process has the file open. No thread may be writing chunks.
        """
        with self._lock:
            if not self.complete:
                self._finish(only_if_unused=only_if_unused)
            return self.complete

    def read(self, inner: int) -> bytes | None:
        """Return a stored chunk; None if it has not been written."""
        with self._disk.use(self.path, writing=False) as fd, self._write_lock:
            # No write can run now. Otherwise the second of two later writes of this chunk could reuse its extent.
            with self._lock:
                offset, size = self._index[inner].tolist()
            return None if offset == int(EMPTY) else read_fully(fd, size, offset)

    def _allocate(self, inner: Indices, sizes: Indices, final: bool) -> Indices:
        """Return the offset of each chunk; new final chunks are adjacent, at the tail."""
        rewritten = self._final[inner]
        if final and not rewritten.any():
            return self._allocate_at_tail(sizes)
        offsets: Indices = self._index[inner, 0].astype(np.int64)
        new = ~rewritten & final
        offsets[new] = self._allocate_at_tail(sizes[new])
        moved = ~new & ~(rewritten & self._shape.in_place)
        offsets[moved] = [self._allocate_extent() for _ in range(int(np.count_nonzero(moved)))]
        return offsets

    def _allocate_at_tail(self, sizes: Indices) -> Indices:
        ends: Indices = np.cumsum(sizes)
        offsets = self._tail + ends - sizes
        if len(sizes):
            self._check_capacity(int(ends[-1]))
            self._tail += int(ends[-1])
        return offsets

    def _check_capacity(self, nbytes: int) -> None:
        if self._tail + nbytes > self._capacity:
            total = self._tail + nbytes
            raise OSError(f"{self.path}: chunks of {total} bytes exceed {self._capacity} bytes.")

    def _allocate_extent(self) -> int:
        """Return the offset of an extent after the maximum size of the missing chunks."""
        size = self._shape.max_chunk_bytes
        index = range(self._index_at, self._index_at + self._shape.index_bytes)
        offset = self._free_list.allocate(self._tail + self._missing * size, index)
        if offset > self._index_at:
            self._move_index(offset + _GROWTH_EXTENTS * size)
        return offset

    def _write_index(self, fd: int) -> None:
        self._disk.sync_open(fd)
        write_at(fd, [shard_index.encode(self._index)], self._index_at)
        self._disk.sync_open(fd)
        self._free_list.start_grace_period()
        self._dirty = False

    def _move_index(self, offset: int) -> None:
        """Write the index past the end of the file, which thus grows and ends with a valid index in one step."""
        with self._disk.use(self.path) as fd, ExitStack() as stack:
            if self._disk.durable:
                current = read_at(fd, self._shape.index_bytes, self._index_at)
                stack.enter_context(shard_index.backup(self.path, current))
            self._index_at = shard_index.align_index(offset)
            self._write_index(fd)

    def _create(self) -> None:
        """Create the file with its index, by rename: an empty file is not a valid shard."""
        temporary = shard_index.temporary_path(self.path)
        try:
            fd = open_new(temporary, sparse=True)
            try:
                write_at(fd, [shard_index.encode(self._index)], self._index_at)
                self._disk.sync_open(fd)
            finally:
                os.close(fd)
            rename(temporary, self.path)
            self._disk.mark_changed(str(self.path.parent))
        except OSError:
            with suppress(OSError):  # keep the original error
                os.unlink(temporary)
            raise

    def _finish(self, *, only_if_unused: bool) -> None:
        end = max(shard_index.end_of_data(self._index), self._free_list.end_in_use)
        if end + self._shape.index_bytes > self._index_at:  # they overlap: keep the current one
            with self._disk.use(self.path) as fd:
                self._write_index(fd)
            self.complete = True
            return
        with self._disk.use_exclusively(self.path) as (fd, exclusive):
            if exclusive or not only_if_unused:
                write_at(fd, [shard_index.encode(self._index)], end)
                self._disk.sync_open(fd)
                if truncate(fd, end + self._shape.index_bytes):
                    self._free_list.start_grace_period()
                    self._index_at, self._dirty, only_if_unused = end, False, False
                self.complete = not only_if_unused  # a mapped file keeps its size on Windows
            if self._dirty:
                self._write_index(fd)

    def _load_existing(self, partial: Sequence[int]) -> None:
        """Open a complete file: its frames are read, or written again."""
        with self._disk.use(self.path, writing=False) as fd:
            end = self._shape.index_format.offset(os.fstat(fd).st_size)
            try:
                self._index = self._shape.index_format.read(fd, end)
            except TornIndexError as error:
                raise OSError(f"{self.path}: {error}. Run `ome-writers repair`.") from error
        self._final = self._index[:, 0] != EMPTY
        self._final[list(partial)] = False
        # after the index: a reader that has found the size of the file reads the index there
        self._tail = end + self._shape.index_bytes
        self._capacity = max(
            self._capacity, self._tail + self._missing * self._shape.max_chunk_bytes
        )
        self._index_at = end
        self.complete = True
