"""One array on disk: blocks of chunks in, planes out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.locks import new_lock
from ome_writers.storage.file_lease import POLL_INTERVAL_S
from ome_writers.storage.zarr.chunk_files import ChunkFiles
from ome_writers.storage.zarr.chunk_grid import Grid
from ome_writers.storage.zarr.codec import Codec
from ome_writers.storage.zarr.shard_file import Shard, ShardShape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan
    from ome_writers.storage.direct.block import Block
    from ome_writers.storage.disk import Disk
    from ome_writers.storage.positional_io import Piece
    from ome_writers.storage.zarr.chunk_grid import Cell, ShardPart

__all__ = ["StoredArray"]

# Bytes of a frame. Larger ones gain from a second core; several that are smaller gain from sharing one write, where
# they go into one file.
_SMALL = 2**18
_TINY = 2**12
# shards of one array that wait for chunks; older ones are tidied, and taken up again
_MOST_SHARDS = 1024


class _Seat(NamedTuple):
    """A shard that frames come into one by one, and its file, open for as long as they do."""

    outer: Cell
    shard: Shard
    lease: ExitStack
    fd: int


class StoredArray:
    """The chunks of one array, as files or in shards. Its methods are safe to call from any thread.

    Parameters
    ----------
    folder
        The array's node in the hierarchy; chunks lie in ``c`` below it.
    plan
        The array.
    disk
        Writes its files.

    Attributes
    ----------
    identity
        Whether chunks are stored as they are.
    passes
        Whether a frame is one chunk, which it fills, so that it can be stored by itself.
    quick
        Whether that takes less time than to copy a frame and hand it over.
    serial
        Whether all that is stored goes into one file after the other, just as it is.
    """

    def __init__(self, folder: Path, plan: ArrayPlan, disk: Disk) -> None:
        self.grid = Grid(plan)
        self._codec = Codec(plan.compression, plan.dtype)
        self._folder = folder / "c"
        self._disk = disk
        self._files = ChunkFiles(str(self._folder), disk)
        self._shape = ShardShape(
            self.grid.shard_chunks,
            self._codec.most(self.grid.chunk_bytes),
            in_place=self._codec.identity,
        )
        self._shards: dict[Cell, Shard] = {}
        self._lock = new_lock()
        self.identity = self._codec.identity
        self.serial = self.grid.sharded and self.identity
        straight = not disk.direct_io and not (self.grid.sharded and disk.durable)
        self.passes = self.grid.plain and straight
        least = _TINY if self.serial else 0
        self.quick = self.passes and self.identity and least <= self.grid.frame_bytes <= _SMALL
        self._seat: _Seat | None = None

    def serial_key(self, shard: Cell) -> Cell | None:
        """Return what blocks must share to be stored one after the other: a file, when nothing is encoded."""
        return shard if self.serial else None

    def store(self, block: Block, slots: frozenset[int] | None = None) -> None:
        """Encode and write the columns of a block: with these slots, or None when it takes no more frames."""
        columns = block.columns if slots is None else block.as_of(slots)
        if not self.grid.sharded:
            for (cell, _), column in zip(block.entries, columns, strict=False):
                for tile in range(len(column)):
                    key = (*cell, *divmod(tile, self.grid.tiles[1]))
                    self._files.write(key, self._codec.encode(column[tile]))
            return
        for part in self.grid.parts:
            self._store_part(block, columns, part, final=slots is None)

    def put(self, cell: Cell, frame: NDArray[np.generic]) -> int:
        """Encode and write a contiguous frame that is a chunk (see `passes`); return the bytes it takes.

        Only one thread at a time may call this.
        """
        chunk: Piece = frame
        nbytes = self.grid.frame_bytes
        if not self.identity:
            chunk = self._codec.encode(frame)
            nbytes = len(chunk)
        if not self.grid.sharded:
            self._files.write((*cell, 0, 0), chunk)
            return nbytes
        outer, plane = self.grid.shard(cell)
        seat = self._seat
        if seat is None or seat.outer != outer:
            self.rise()
            seat = self._seat = self._sit(outer)
        seat.shard.put(seat.fd, plane * self.grid.plane_chunks, chunk, nbytes)
        return nbytes

    def rise(self) -> None:
        """Leave the shard that `put` has written to."""
        if self._seat is not None:
            seat, self._seat = self._seat, None
            seat.lease.close()
            self._release((*seat.outer, *self.grid.parts[0].yx), seat.shard)

    def _sit(self, outer: Cell) -> _Seat:
        """Keep a shard and its file at hand, for the frames to come."""
        shard = self._acquire((*outer, *self.grid.parts[0].yx), self.grid.parts[0])
        lease = ExitStack()
        return _Seat(outer, shard, lease, lease.enter_context(self._disk.use(shard.path)))

    def load(self, cell: Cell) -> NDArray[np.generic] | None:
        """Return the column of `cell` from disk; None when nothing of it was written."""
        column: NDArray[np.generic] | None = None
        for tile, stored in self._stored_tiles(cell):
            if stored is not None:
                if column is None:
                    column = np.zeros(self.grid.column_shape, self.grid.dtype)
                chunk = np.frombuffer(
                    self._codec.decode(stored, self.grid.chunk_bytes), self.grid.dtype
                )
                column[tile] = chunk.reshape(self.grid.column_shape[1:])
        return column

    def flush(self) -> None:
        """Make readers see all chunks that were stored in shards."""
        with self._lock:
            shards = list(self._shards.items())
        for key, shard in shards:
            shard.flush()
            if shard.whole and shard.settled:
                self._finish(key, shard, wait=True)

    def finish(self, patience: float) -> None:
        """Tidy every shard that is not complete. Nobody may be in `put`.

        Other processes that have a shard open are waited for until `patience` (`time.monotonic`).
        """
        self.rise()
        with self._lock:  # who reads meanwhile waits, and finds the files in their final form
            for shard in self._shards.values():
                while not shard.finish(wait=time.monotonic() < patience):
                    time.sleep(POLL_INTERVAL_S)
            self._shards.clear()

    def _store_part(
        self,
        block: Block,
        columns: Sequence[NDArray[np.generic]] | NDArray[np.generic],
        part: ShardPart,
        *,
        final: bool,
    ) -> None:
        """Write the tiles of a block's columns that lie in one shard."""
        planes = np.asarray([plane for _, plane in block.entries], np.int64)
        first = planes[:, np.newaxis] * self.grid.plane_chunks
        inner = (first + part.inner).reshape(-1)
        in_one = final and self.identity and len(self.grid.parts) == 1
        memory = block.memory if in_one else None
        if memory is not None:
            parts: list[bytes | memoryview] = [memory]
            sizes = np.full(len(inner), self.grid.chunk_bytes, np.int64)
        else:
            parts = [
                self._codec.encode(column[tile])
                for _, column in zip(block.entries, columns, strict=False)
                for tile in part.tiles
            ]
            sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        key = (*block.shard, *part.yx)
        shard = self._acquire(key, part)
        try:
            shard.add(inner, sizes, parts, final=final)
        finally:
            self._release(key, shard)

    def _acquire(self, key: Cell, part: ShardPart) -> Shard:
        """Return the shard for adding chunks; it is not finished before `_release`."""
        with self._lock:
            shard = self._shards.get(key)
            if shard is None:
                expected = self.grid.chunks_in(key[:-2], part)
                path = self._path(key)
                self._disk.make_folders(path.parent)
                shard = self._shards[key] = Shard(path, self._shape, expected, self._disk)
            shard.users += 1
            return shard

    def _release(self, key: Cell, shard: Shard) -> None:
        """Finish the shard when it is whole and settled, or when too many others wait."""
        with self._lock:
            shard.users -= 1
            crowded = len(self._shards) > _MOST_SHARDS
        if crowded or (shard.whole and shard.settled):
            self._finish(key, shard, wait=not crowded)

    def _finish(self, key: Cell, shard: Shard, *, wait: bool) -> None:
        """Bring a shard into its final form, unless somebody adds to it, reads it or has finished it."""
        with self._lock:
            if shard.users or key not in self._shards:
                return
            if not shard.finish(wait=wait):
                return
            del self._shards[key]
        self._disk.sync(shard.path)
        self._disk.forget(shard.path)

    def _stored_tiles(self, cell: Cell) -> list[tuple[int, bytes | None]]:
        if not self.grid.sharded:
            across = self.grid.tiles[1]
            tiles = range(self.grid.column_shape[0])
            return [(tile, self._files.read((*cell, *divmod(tile, across)))) for tile in tiles]
        outer, plane = self.grid.shard(cell)
        found: list[tuple[int, bytes | None]] = []
        for part in self.grid.parts:
            key = (*outer, *part.yx)
            with self._lock:
                shard = self._shards.get(key)
            if shard is None:
                if not self._path(key).exists():
                    continue
                shard = Shard(self._path(key), self._shape, 0, self._disk)
            for tile, inner in zip(part.tiles, part.inner, strict=True):
                found.append((tile, shard.read(plane * self.grid.plane_chunks + inner)))
        return found

    def _path(self, key: Cell) -> Path:
        return self._folder.joinpath(*map(str, key))
