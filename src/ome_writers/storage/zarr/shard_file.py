"""Shard files that are valid at every instant.

A shard's index stands at the end of the file: readers in the browser look nowhere else. So a file is sized for
its largest possible content when it is opened (sparse, nothing is allocated), chunks are added from the
front, and the index at the far end is brought up to date at each flush. When the last chunk has
come, the index is written right behind the data and the file ends there::

    open      | chunk | chunk | ....hole.... | spare | spare | .. | index |
    complete  | chunk | chunk | chunk | index |

A chunk over several frames that is flushed half-full goes to a spare place, another one each time, so that
the bytes an index points to are never overwritten; whole, it goes behind the others. So does a frame that is
taken again, unless chunks are not compressed: these are written again in place.

Spare places that a reader may be fetching stay in the file (see `spares`), if need be between data and index.

With `Disk.durable` chunks are synced before the index points to them, and the index before the file is cut. Power loss
can tear an index that is written again, but not its entries, which are aligned: `tidying` reads each. While an index
moves to a new end of the file, a copy of it is in a temporary file beside the shard.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.locks import new_lock
from ome_writers.storage.file_lease import exclusive_lease
from ome_writers.storage.positional_io import open_new, read_at, read_fully, write_at, write_single
from ome_writers.storage.zarr import shard_index
from ome_writers.storage.zarr.free_list import FreeList
from ome_writers.storage.zarr.shard_index import EMPTY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.disk import Disk
    from ome_writers.storage.positional_io import Piece

    Indices = NDArray[np.int64]

__all__ = ["Shard", "ShardShape"]

_GROWTH = 16  # spare places that a file gets at once


class ShardShape:
    """What the shards of one array have in common.

    Attributes
    ----------
    chunks
        Number of chunks in a shard, and so of entries in its index.
    most
        The most bytes a stored chunk can take.
    in_place
        Whether a whole chunk always has the same size, so that it can be written again where it is.
    """

    def __init__(self, chunks: int, most: int, *, in_place: bool) -> None:
        self.chunks = chunks
        self.most = most
        self.in_place = in_place
        self.index_bytes = shard_index.size_of_index(chunks)


class Shard:
    """One shard file.

    Parameters
    ----------
    path, shape
        Of the file, whose folder exists; see `ShardShape`.
    expected
        How many chunks will come if the acquisition runs to its end.
    disk
        Lends the open file, and writes to it.

    Attributes
    ----------
    complete
        Whether the file has its final form.
    users
        How many threads are adding chunks (kept by who owns the shard).
    """

    def __init__(self, path: Path, shape: ShardShape, expected: int, disk: Disk) -> None:
        self.path = path
        self.complete = False
        self.users = 0
        self._shape = shape
        self._disk = disk
        self._lock = new_lock()
        self._writing = new_lock()  # two writes to one file wait for each other, better here
        self._index = shard_index.empty_index(shape.chunks)
        self._expected = expected
        self._tail = 0  # where the next new chunk goes
        self._room = expected * shape.most  # what the chunks that are expected take at most
        self._index_at = shard_index.aligned(self._room)
        self._spares = FreeList(shape.most)
        self._final = np.zeros(shape.chunks, dtype=bool)
        self._dirty = False
        if path.exists():
            self._adopt()
        else:
            self._create()
        # the same memory, for one chunk at a time
        self._entries = self._index.data.cast("B").cast("Q")
        self._marks = self._final.data.cast("B")

    def add(
        self,
        inner: Indices,
        sizes: Indices,
        parts: Sequence[bytes | memoryview],
        *,
        final: bool = True,
    ) -> None:
        """Write chunks; `final` says that no more frames are expected in them.

        `inner` says which chunks. `parts` are the stored chunks one by one, or all of them side by side in a single
        buffer. Readers see them after the next `flush` or `finish`.
        """
        with self._lock:
            if self.complete and not (self._shape.in_place and self._final[inner].all()):
                self._reopen()
            offsets = self._allocate(inner, sizes, final)
        with self._writing:
            self._disk.write(self.path, parts, offsets, sizes)
        with self._lock:
            if self._spares:
                self._spares.release({*self._index[inner, 0].tolist()} - {*offsets.tolist()})
            self._index[inner] = np.column_stack((offsets, sizes))
            self._dirty = True
            if final:
                self._final[inner] = True

    def put(self, fd: int, inner: int, chunk: Piece, nbytes: int) -> None:
        """Write one whole chunk, stored as it is, to the open file: what `add` does, in less time."""
        with self._lock:
            if not (self.complete or self._marks[inner]):
                if self._tail + nbytes > self._room:
                    self._make_room(nbytes)
                tail, at, end = self._tail, 2 * inner, self._tail + nbytes
                write_single(fd, chunk, nbytes, tail)
                entries, marks, self._dirty = self._entries, self._marks, True
                # one statement, which KeyboardInterrupt cannot part
                entries[at], entries[at + 1], marks[inner], self._tail = tail, nbytes, 1, end
                return
        self.add(np.asarray([inner]), np.asarray([nbytes]), [np.frombuffer(chunk, np.uint8).data])

    def flush(self) -> None:
        """Make readers see all chunks that were added."""
        with self._lock:
            if self._dirty and not self.complete:
                with self._disk.use(self.path) as fd:
                    self._write_index(fd)

    @property
    def whole(self) -> bool:
        """Whether every chunk that was expected has come."""
        return not self._missing

    @property
    def _missing(self) -> int:
        """How many of the expected chunks have not come yet."""
        return max(0, self._expected - int(np.count_nonzero(self._final)))

    @property
    def settled(self) -> bool:
        """Whether `finish` leaves nothing but chunks in the file, since nobody reads the spare places any more."""
        return self._spares.end <= shard_index.end_of_data(self._index)

    def finish(self, *, wait: bool = False) -> bool:
        """End the file behind what is read, with the index; nobody may be in `add`.

        With `wait` this is put off, and False returned, while another process has the file open.
        """
        with self._lock:
            if not self.complete:
                with self._disk.use_exclusively(self.path) as fd:
                    self._finish(fd, wait=wait)
            return self.complete

    def read(self, inner: int) -> bytes | None:
        """Return a stored chunk; None when there is none."""
        with self._disk.use(self.path, writing=False) as fd, self._writing:
            # nothing is written now: of two later writes of this chunk the second would take this place
            with self._lock:
                offset, size = self._index[inner].tolist()
            return None if offset == int(EMPTY) else read_fully(fd, size, offset)

    def _allocate(self, inner: Indices, sizes: Indices, final: bool) -> Indices:
        """Return where each chunk goes: new final chunks side by side at the tail."""
        again = self._final[inner]
        if final and not again.any():
            return self._at_tail(sizes)
        offsets: Indices = self._index[inner, 0].astype(np.int64)
        fresh = ~again & final
        offsets[fresh] = self._at_tail(sizes[fresh])
        aside = ~fresh & ~(again & self._shape.in_place)
        offsets[aside] = [self._spare_place() for _ in range(int(np.count_nonzero(aside)))]
        return offsets

    def _at_tail(self, sizes: Indices) -> Indices:
        ends: Indices = np.cumsum(sizes)
        offsets = self._tail + ends - sizes
        if len(sizes):
            self._make_room(int(ends[-1]))
            self._tail += int(ends[-1])
        return offsets

    def _make_room(self, nbytes: int) -> None:
        if self._tail + nbytes > self._room:
            room = f"whose chunks were to take {self._room} bytes in all"
            raise OSError(f"{self.path}: {nbytes} more bytes do not fit into the shard, {room}.")

    def _spare_place(self) -> int:
        """Return a place behind all that the missing chunks may take."""
        most = self._shape.most
        index = range(self._index_at, self._index_at + self._shape.index_bytes)
        place = self._spares.take(self._tail + self._missing * most, index)
        if place > self._index_at:
            self._move_index(place + _GROWTH * most)
        return place

    def _write_index(self, fd: int) -> None:
        self._disk.sync_open(fd)
        write_at(fd, [shard_index.encode(self._index)], self._index_at)
        self._disk.sync_open(fd)
        self._spares.superseded()
        self._dirty = False

    def _move_index(self, offset: int) -> None:
        """Write the index behind the end of the file, which is then longer and ends in a valid index at once."""
        with self._disk.use(self.path) as fd, ExitStack() as moving:
            if self._disk.durable:
                now = read_at(fd, self._shape.index_bytes, self._index_at)
                moving.enter_context(shard_index.copied(self.path, now))
            self._index_at = shard_index.aligned(offset)
            self._write_index(fd)

    def _create(self) -> None:
        """Have the file appear with its index: by rename, since an empty file is no shard."""
        beside = shard_index.beside(self.path)
        try:
            fd = open_new(beside)
            try:
                write_at(fd, [shard_index.encode(self._index)], self._index_at)
                self._disk.sync_open(fd)
            finally:
                os.close(fd)
            os.replace(beside, self.path)
            self._disk.mark_changed(str(self.path.parent))
        except OSError:
            with suppress(OSError):  # the first error is the one that tells
                os.unlink(beside)
            raise

    def _finish(self, fd: int, *, wait: bool) -> None:
        end = max(shard_index.end_of_data(self._index), self._spares.end)
        if end + self._shape.index_bytes > self._index_at:  # the index in force is not written over
            self._write_index(fd)
            self.complete = True
            return
        with exclusive_lease(fd) as nobody_reads:
            if nobody_reads or not wait:
                write_at(fd, [shard_index.encode(self._index)], end)
                self._disk.sync_open(fd)
                os.ftruncate(fd, end + self._shape.index_bytes)
                self._spares.superseded()
                self._index_at, self._dirty, self.complete = end, False, True
        if self._dirty:
            self._write_index(fd)

    def _reopen(self) -> None:
        """Move the index out of the way of further chunks; the file grows by it and stays valid."""
        self._move_index(max(self._room, self._index_at + self._shape.index_bytes))
        self.complete = False

    def _adopt(self) -> None:
        """Go on with a file that was finished before: its frames are read, or taken again."""
        with self._disk.use(self.path, writing=False) as fd:
            end = os.fstat(fd).st_size - self._shape.index_bytes
            stored = shard_index.decode(read_at(fd, self._shape.index_bytes, end))
        if stored is None:
            raise OSError(f"{self.path}: the index of the shard is damaged.")
        self._index = stored
        self._final = self._index[:, 0] != EMPTY
        self._tail = end
        self._room = max(self._room, self._tail + self._missing * self._shape.most)
        self._index_at = end
        self.complete = True
