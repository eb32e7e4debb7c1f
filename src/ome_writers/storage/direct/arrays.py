"""One array on disk: write blocks of chunks, read columns."""

# Longer than 300 lines: one class, with all ways to write a chunk.
from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.locks import new_lock
from ome_writers.storage.direct.block import Block
from ome_writers.storage.disk import Disk
from ome_writers.storage.file_lease import POLL_INTERVAL_S, SUPPORTS_LEASES
from ome_writers.storage.positional_io import Piece
from ome_writers.storage.store import Store, SupportsFiles, local_path
from ome_writers.storage.zarr import (
    Cell,
    ChunkFiles,
    ChunkKeys,
    Codec,
    Grid,
    Shard,
    ShardPart,
    ShardShape,
)

if TYPE_CHECKING:
    from ome_writers.storage.direct.existing_chunks import ExistingChunks
    from ome_writers.storage.zarr import GrowingChunk

# Larger frames benefit from a second core; smaller ones in the same shard benefit from a shared write.
_MAX_WRITE_THROUGH_BYTES = 2**18
_MIN_WRITE_THROUGH_BYTES = 2**12
# Smaller blocks of chunks are compressed in a few milliseconds.
_MIN_SHARED_BYTES = 4 * 2**20
# A smaller tile takes longer to write than to copy; a larger one leaves the processor's cache meanwhile.
_MIN_COPIED_TILE_BYTES = 2**17
_MAX_COPIED_TILE_BYTES = 2**20
_MAX_OPEN_SHARDS = 1024  # of one array; others are finished, and reopened when necessary


T = TypeVar("T")


class _CurrentShard(NamedTuple):
    """The shard that write-through writes to, and its open file."""

    outer: Cell
    shard: Shard
    file: ExitStack
    fd: int


class MovedChunks(Protocol):
    """The chunks of one array in files that a mirror has moved."""

    def read(self, key: Cell, numbers: Iterable[int]) -> list[bytes | None]:
        """Return stored chunks of a shard, by their numbers, or a chunk; empty if the file was not moved."""
        ...

    def restore(self, key: Cell) -> None:
        """Copy a file that was moved back to this disk."""
        ...


class StoredArray:
    """The chunks of one array, each as a value of `store` or in shards, below ``c``; thread-safe."""

    def __init__(self, store: Store, level: LevelSpec, disk: Disk) -> None:
        self.grid = Grid(level)
        self._codec = Codec(level.compression, level.numpy_dtype, checksum=level.checksum)
        self._disk = disk
        self.key = folder = f"{level.key}/c"
        self._chunks: ChunkFiles | ChunkKeys = ChunkKeys(store, folder)
        if self.grid.sharded or isinstance(store, SupportsFiles):
            self._folder = local_path(store, folder, f"Array {level.key!r} with shards")
            self._chunks = ChunkFiles(str(self._folder), disk)
        self._shape = ShardShape(
            self.grid.shard_chunks,
            self._codec.max_encoded_bytes(self.grid.chunk_bytes),
            in_place=self._codec.identity,
        )
        self.index_format = self._shape.index_format
        self.shards: dict[Cell, Shard] = {}  # that are not finished
        self._lock = new_lock()
        self.identity = self._codec.identity  # whether chunks are stored as they are in memory
        compressed = self._codec.compressed
        # whether uncompressed chunks are stored in shards, so that concurrent writes would go to the same file
        self.uncompressed_shards = self.grid.sharded and not compressed
        # whether storing a block takes nothing but writing to its shard, so that only one thread at a time is useful
        self.one_writer_per_shard = self.grid.sharded and self.identity
        possible = (
            self.grid.one_chunk_per_plane
            and not disk.direct_io
            and not (self.grid.sharded and disk.durable)
        )
        min_bytes = _MIN_WRITE_THROUGH_BYTES if self.uncompressed_shards else 0
        # whether writing a frame by itself always takes less time than copying and submitting it
        self.prefers_write_through = (
            possible
            and not compressed
            and min_bytes <= self.grid.frame_bytes <= _MAX_WRITE_THROUGH_BYTES
        )
        # whether it can be faster to write a frame by itself, which is a complete chunk: always, or while the workers
        # are behind
        self.can_write_through = self.prefers_write_through or (
            possible and not self.uncompressed_shards
        )
        # the filled slots of columns that were written before they were full, and are not in memory
        self.partial_columns: dict[Cell, set[int]] = {}
        # columns in files that are published while they are filled
        self._growing: dict[Cell, list[GrowingChunk]] = {}
        self._grows = (
            not compressed
            and (self.identity or SUPPORTS_LEASES)
            and self.grid.depth > 1
            and isinstance(self._chunks, ChunkFiles)
            and not self.grid.sharded
        )
        fitting = _MIN_COPIED_TILE_BYTES <= self.grid.chunk_bytes <= _MAX_COPIED_TILE_BYTES
        # whether a block can refer to the memory of a plane: the plane is a chunk, or `store` copies its tiles
        self.references_planes = self.grid.one_chunk_per_plane or (
            fitting and self.grid.depth == 1 and not disk.direct_io
        )
        self.existing: ExistingChunks | None = None  # of an array of an earlier stream
        self.moved: MovedChunks | None = None  # while files are removed, because a mirror has them
        self._current: _CurrentShard | None = None
        # `map_shared` with the workers of the engine
        self.map: Callable[..., list[Any]] | None = None

    def store(self, block: Block, slots: frozenset[int] | None) -> None:
        """Encode and write the columns of a block: with only these slots, or None if the block is sealed."""
        if self._grows and self._store_growing(block, slots):
            return
        columns = block.columns if slots is None else block.snapshot(slots)
        if not self.grid.sharded:
            across = self.grid.tiles[1]
            chunks_at = [
                ((*cell, *divmod(tile, across)), column, tile)
                for (cell, _), column in zip(block.entries, columns, strict=False)
                for tile in range(self.grid.column_shape[0])
            ]
            if self._codec.compressed:
                self._for_each(self._write_chunk, chunks_at)
            else:
                for key, *at in chunks_at:
                    self._chunks.write(key, *self._codec.encode_parts(self.grid.extract_chunk(*at)))
            return
        planes = np.asarray([plane for _, plane in block.entries], np.int64)
        first = planes[:, np.newaxis] * self.grid.plane_chunks
        single_write = slots is None and self.identity and len(self.grid.parts) == 1
        memory = block.memory if single_write else None
        copies_tiles = self.identity and block.by_reference and not self.grid.one_chunk_per_plane
        all_chunks = [
            (part.yx, column, tile)
            for part in (() if copies_tiles or memory is not None else self.grid.parts)
            for _, column in zip(block.entries, columns, strict=False)
            for tile in part.tiles
        ]
        encoded = iter(self._for_each(lambda _, chunk: self._codec.encode_parts(chunk), all_chunks))
        for part in self.grid.parts:
            inner = (first + part.inner).reshape(-1)
            sizes = np.full(len(inner), self.grid.chunk_bytes, np.int64)
            chunks: list[bytes | memoryview] | Iterator[Piece]
            if memory is not None:
                chunks = [memory]
            elif copies_tiles:
                each = itertools.product(columns[: len(block.entries)], part.tiles)
                chunks = itertools.starmap(self.grid.extract_chunk, each)
            else:
                of_part = list(itertools.islice(encoded, len(inner)))
                sizes = np.asarray([sum(map(len, parts)) for parts in of_part], np.int64)
                chunks = [piece for parts in of_part for piece in parts]
            key = (*block.shard, *part.yx)
            shard = self._acquire(key, part)
            try:
                shard.write_chunks(inner, sizes, chunks, final=slots is None)
            finally:
                self._release(key, shard)

    def _store_growing(self, block: Block, slots: frozenset[int] | None) -> bool:
        """Add planes to the files of a column that is published while it is filled; return False if it is not."""
        ((cell, _),) = block.entries
        growing = self._growing.pop(cell, None)
        if block.replaced or (slots is None and growing is None):
            for chunk in growing or ():
                chunk.discard()
            return False
        if growing is None:
            from ome_writers.storage.zarr import GrowingChunk

            chunks, across = self._chunks, self.grid.tiles[1]
            assert isinstance(chunks, ChunkFiles)
            keys = [(*cell, *divmod(tile, across)) for tile in range(len(block.columns[0]))]
            growing = [
                GrowingChunk(
                    chunks.folder(k), str(k[-1]), self._disk, checksum=self._codec.checksum
                )
                for k in keys
            ]
        with ExitStack() as hidden:  # removed after the last time, and after an error
            for chunk in growing:
                hidden.callback(chunk.discard)
            for chunk, pixels in zip(growing, block.columns[0], strict=True):
                chunk.publish(pixels, frozenset(block.slots) if slots is None else slots)
            self._disk.sync_folders({chunk.folder for chunk in growing})
            if slots is not None:
                hidden.pop_all()
                self._growing[cell] = growing
        return True

    def _write_chunk(self, key: tuple[int, ...], chunk: NDArray[np.generic]) -> None:
        self._chunks.write(key, *self._codec.encode_parts(chunk))

    def _for_each(
        self,
        function: Callable[[Any, NDArray[np.generic]], T],
        chunks: Sequence[tuple[Any, NDArray[np.generic], int]],
    ) -> list[T]:
        """Return the results for the chunks of a block, computed in idle workers, too, if that takes long."""

        def call(each: tuple[Any, NDArray[np.generic], int]) -> T:
            key, column, tile = each
            return function(key, self.grid.extract_chunk(column, tile))

        long = len(chunks) * self.grid.chunk_bytes >= _MIN_SHARED_BYTES
        if self.map is None or not (long and self._codec.compressed):
            return list(map(call, chunks))
        return self.map(call, chunks)

    def write_frame(self, cell: Cell, frame: NDArray[np.generic]) -> int:
        """Encode and write a contiguous frame that is a chunk; return the bytes written.

        Requires `can_write_through`. Only one thread at a time may call this.
        """
        chunk: Piece = frame
        nbytes = self.grid.frame_bytes
        if not self.identity:
            chunk = self._codec.encode(frame)
            nbytes = len(chunk)
        if not self.grid.sharded:
            self._chunks.write((*cell, 0, 0), chunk)
            return nbytes
        outer, plane = self.grid.shard(cell)
        current = self._current
        if current is None or current.outer != outer:
            self.release_current_shard()
            current = self._current = self._acquire_current_shard(outer)
        current.shard.write_chunk(current.fd, plane * self.grid.plane_chunks, chunk, nbytes)
        return nbytes

    def release_current_shard(self) -> None:
        """Close the shard that `write_frame` has written to."""
        if self._current is not None:
            current, self._current = self._current, None
            current.file.close()
            self._release((*current.outer, *self.grid.parts[0].yx), current.shard)

    def _read_chunk(self, key: Cell) -> bytes | None:
        chunk = self._chunks.read(key)
        if chunk is None and self.moved is not None:
            chunk = next(iter(self.moved.read(key, (0,))), None)
        return chunk

    def _acquire_current_shard(self, outer: Cell) -> _CurrentShard:
        shard = self._acquire((*outer, *self.grid.parts[0].yx), self.grid.parts[0])
        file = ExitStack()
        return _CurrentShard(outer, shard, file, file.enter_context(self._disk.use(shard.path)))

    def load_plane(self, cell: Cell, slot: int) -> NDArray[np.generic]:
        """Return a plane from disk; zeros if it was not written."""
        column = self.load(cell)
        if column is None:
            return np.zeros(self.grid.frame_shape, self.grid.dtype)
        return self.grid.extract_plane(column, slot)

    def load(self, cell: Cell) -> NDArray[np.generic] | None:
        """Return the column of `cell` from disk; None if nothing of it was written."""
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

    def partial_slots(self, cell: Cell) -> set[int]:
        """Return the filled slots of a column on disk; an empty set if all of them are, or if it is not known."""
        slots = self.partial_columns.get(cell)
        if slots is None and self.existing is not None:
            slots = self.existing.partial_slots(cell)
        return slots or set()

    def flush(self) -> None:
        """Publish all chunks in shards to readers; after an error, those in the other shards."""
        with self._lock:
            shards = list(self.shards.items())
        with ExitStack() as steps:  # calls all, then raises an error
            for key, shard in reversed(shards):
                steps.callback(self._flush_shard, key, shard)

    def _flush_shard(self, key: Cell, shard: Shard) -> None:
        shard.flush()
        if shard.full and shard.grace_period_over:
            self._finish(key, shard, only_if_unused=True)

    def finish(self, deadline: float) -> None:
        """Finish every shard that is not complete; after an error, the others. No thread may be in `write_frame`.

        Waits for other processes that have a shard open until `deadline` (`time.monotonic`).
        """
        self.release_current_shard()
        for chunk in (chunk for growing in self._growing.values() for chunk in growing):
            chunk.discard()
        with self._lock, ExitStack() as steps:  # concurrent `load` waits for the final files
            for key in reversed(self.shards):
                steps.callback(self._finish_before, deadline, key)

    def _finish_before(self, deadline: float, key: Cell) -> None:
        while not self.shards[key].finish(only_if_unused=time.monotonic() < deadline):
            time.sleep(POLL_INTERVAL_S)
        del self.shards[key]

    def _acquire(self, key: Cell, part: ShardPart) -> Shard:
        """Return a shard for writing chunks; it is not finished before `_release`."""
        with self._lock:
            shard = self.shards.get(key)
            if shard is None:
                expected = self.grid.chunks_in(key[:-2], part)
                path = self.path(key)
                self._disk.make_folders(path.parent)
                if self.moved is not None and not path.exists():
                    self.moved.restore(key)  # for a level along z, or a longer axis
                partial = self.existing.partial_chunks(key[:-2], part) if self.existing else ()
                shard = Shard(path, self._shape, expected, self._disk, partial)
                self.shards[key] = shard
            shard.users += 1
            return shard

    def _release(self, key: Cell, shard: Shard) -> None:
        """Finish the shard if it is full and its grace period is over, or if too many shards are open."""
        with self._lock:
            shard.users -= 1
            too_many = len(self.shards) > _MAX_OPEN_SHARDS
        if too_many or (shard.full and shard.grace_period_over):
            self._finish(key, shard, only_if_unused=not too_many)

    def _finish(self, key: Cell, shard: Shard, *, only_if_unused: bool) -> None:
        """Finish a shard, unless a thread is writing to it or has finished it."""
        with self._lock:
            if shard.users or key not in self.shards:
                return
            if not shard.finish(only_if_unused=only_if_unused):
                return
            del self.shards[key]
        self._disk.sync(shard.path)
        self._disk.forget(shard.path)

    def _stored_tiles(self, cell: Cell) -> list[tuple[int, bytes | None]]:
        if not self.grid.sharded:
            across = self.grid.tiles[1]
            tiles = range(self.grid.column_shape[0])
            keys = [(*cell, *divmod(tile, across)) for tile in tiles]
            return [(tile, self._read_chunk(key)) for tile, key in zip(tiles, keys, strict=True)]
        outer, plane = self.grid.shard(cell)
        found: list[tuple[int, bytes | None]] = []
        for part in self.grid.parts:
            key = (*outer, *part.yx)
            with self._lock:
                shard = self.shards.get(key)
            numbers = [plane * self.grid.plane_chunks + inner for inner in part.inner]
            try:
                shard = shard or Shard(self.path(key), self._shape, None, self._disk)
                stored = [shard.read(number) for number in numbers]
            except FileNotFoundError:
                stored = [] if self.moved is None else self.moved.read(key, numbers)
            found += zip(part.tiles, stored, strict=False)
        return found

    def remove(self, key: Cell, remove: Callable[[], None]) -> bool:
        """Call `remove`, which removes the file of a finished shard or chunk; return False if it is in use."""
        with self._lock:
            if key in self.shards:
                return False
            self._disk.forget(self.path(key))
            remove()
            return True

    def path(self, key: Cell) -> Path:
        return self._folder.joinpath(*map(str, key))
