"""Reading of stored chunks: each is a file by itself, or a part of a shard that the index of the shard locates.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import CRC32C_BYTES, Decoder, crc32c
from ome_writers.dataset import LevelSpec
from ome_writers.storage.zarr.chunk_grid import Cell, Grid
from ome_writers.storage.zarr.codec import Codec
from ome_writers.storage.zarr.shard_index import (
    EMPTY,
    ShardIndexFormat,
    TornIndexError,
    end_of_data,
)
from ome_writers.untrusted import open_regular

Chunk = NDArray[np.generic]
_PIECE_BYTES = 2**18  # of a chunk whose checksum is verified


class ChunkEncoding(NamedTuple):
    """How the chunks of an array are stored.

    Attributes
    ----------
    shape, dtype
        Of a decoded chunk.
    per_file
        Number of chunks in a file along each axis; 1 without shards.
    index_format
        The encoding of shard indexes; None without shards.
    decoders
        In the order in which they are applied.
    max_decoded_bytes
        Which decoders may return.
    max_stored_bytes
        Larger chunks are refused before they are read.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    per_file: tuple[int, ...]
    index_format: ShardIndexFormat | None
    decoders: Sequence[Decoder]
    max_decoded_bytes: int
    max_stored_bytes: int

    @classmethod
    def of(cls, level: LevelSpec) -> ChunkEncoding:
        """Return the encoding of an array that this library, or a library that it uses, writes."""
        grid = Grid(level)
        outer = level.shards or level.chunks
        per_file = tuple(o // c for o, c in zip(outer, level.chunks, strict=True))
        codec = Codec(level.compression, level.numpy_dtype, checksum=level.checksum)
        return cls(
            level.chunks,
            level.numpy_dtype,
            per_file,
            ShardIndexFormat(grid.shard_chunks) if grid.sharded else None,
            () if codec.identity else (codec.decode,),
            grid.chunk_bytes,
            2 * codec.max_encoded_bytes(grid.chunk_bytes),
        )

    def file_of(self, coordinate: Sequence[int]) -> list[int]:
        """Return the coordinate of the file of a chunk: that of its shard, or its own."""
        return [i // n for i, n in zip(coordinate, self.per_file, strict=True)]

    def decode(self, stored: bytes) -> Chunk:
        """Return the pixels of a stored chunk; raise ValueError or an exception of its decoders."""
        for decode in self.decoders:
            stored = decode(stored, self.max_decoded_bytes)
        nbytes = math.prod(self.shape) * self.dtype.itemsize
        if len(stored) != nbytes:
            raise ValueError(f"{len(stored)} bytes instead of {nbytes}")
        return np.frombuffer(stored, self.dtype).reshape(self.shape)


@dataclass
class ChunkFile:
    """An open file with a chunk, or with a shard.

    Attributes
    ----------
    encoding
        That of the array.
    file
        It is not needed for `find` once `entries` is known.
    nbytes, start
        Size of the content, and its offset in the file.
    entries
        The index of a shard: (offset, size) of each chunk. It is read when it is needed.
    """

    encoding: ChunkEncoding
    file: BinaryIO
    nbytes: int
    start: int = 0
    entries: NDArray[np.uint64] | None = None

    def index(self) -> NDArray[np.uint64]:
        """Return the index of a shard; raise TornIndexError if it is not valid."""
        if self.entries is None:
            index = self.encoding.index_format
            assert index is not None
            at = index.offset(self.nbytes)
            if at < 0:
                raise TornIndexError("the shard is shorter than its index")
            self.file.seek(self.start + at)
            self.entries = index.decode(self.file.read(index.nbytes))
        return self.entries

    def find(self, coordinate: Sequence[int]) -> tuple[int, int] | None:
        """Return offset and stored size of the chunk at a coordinate of a shard; None if it does not have it.

        Raises OSError if they are not possible.
        """
        number = 0
        for i, n in zip(coordinate, self.encoding.per_file, strict=True):
            number = number * n + i % n
        offset, size = self.index()[number].tolist()
        if offset == size == int(EMPTY):
            return None
        if offset + size > self.nbytes:
            raise TornIndexError(f"a chunk of {size} bytes at {offset} does not fit into the shard")
        return offset, size

    def read(self, coordinate: Sequence[int]) -> bytes | None:
        """Return the stored chunk at a coordinate; None if the shard does not have it.

        Raises OSError if it is not completely in the file, or the index is not valid.
        """
        sharded, limit = self.encoding.index_format is not None, self.encoding.max_stored_bytes
        found = self.find(coordinate) if sharded else (0, self.nbytes)
        if found is None:
            return None
        offset, size = found
        if size > limit:
            raise OSError(f"a chunk has {size} bytes, more than the maximum of {limit}")
        self.file.seek(self.start + offset)
        stored = self.file.read(size)
        if len(stored) != size:
            raise OSError("a chunk is truncated")
        return stored

    def read_into(self, coordinate: Sequence[int], out: memoryview, *, checksum: bool) -> bool:
        """Read a chunk that is not encoded, but may have a checksum; return whether the shard has it.

        Raises OSError as `read` does, and if the checksum does not match.
        """
        sharded = self.encoding.index_format is not None
        found = self.find(coordinate) if sharded else (0, self.nbytes)
        if found is None:
            return False
        offset, size = found
        expected = len(out) + CRC32C_BYTES * checksum
        if size != expected:
            raise OSError(f"a chunk has {size} bytes instead of {expected}")
        self.file.seek(self.start + offset)
        file: Any = self.file  # BinaryIO does not have `readinto`
        if file.readinto(out) != len(out):
            raise OSError("a chunk is truncated")
        if checksum and file.read(CRC32C_BYTES) != crc32c(out):
            raise OSError("the CRC-32C does not match")
        return True

    def verify(self, coordinate: Sequence[int]) -> None:
        """Compare a chunk with its checksum, in pieces that stay in the cache of the processor; it is not decoded.

        Raises OSError as `read_into` does.
        """
        from google_crc32c import extend

        sharded = self.encoding.index_format is not None
        offset, size = (self.find(coordinate) if sharded else None) or (0, self.nbytes)
        left = size - CRC32C_BYTES
        if left <= 0:
            raise OSError(f"a chunk has {size} bytes")
        self.file.seek(self.start + offset)
        file: Any = self.file  # BinaryIO does not have `readinto`
        piece = np.empty(min(left, _PIECE_BYTES), np.uint8)
        checksum = 0
        while left:
            part = piece[:left]
            if file.readinto(part.data) != len(part):
                raise OSError("a chunk is truncated")
            checksum = extend(checksum, part)
            left -= len(part)
        if file.read(CRC32C_BYTES) != checksum.to_bytes(CRC32C_BYTES, "little"):
            raise OSError("the CRC-32C does not match")


class ChunkReader:
    """The chunks of an array in regular files of this disk, which this library or one that it uses has written."""

    def __init__(self, folder: Path, level: LevelSpec) -> None:
        self._folder = str(folder / "c")
        self._root = folder.parents[level.key.count("/")] if level.key else folder
        self._key = f"{level.key}/c" if level.key else "c"
        self.grid = Grid(level)
        self.encoding = ChunkEncoding.of(level)

    def path(self, file: Sequence[int]) -> str:
        """Return the path of the file at a coordinate; see `ChunkEncoding.file_of`."""
        return "/".join((self._folder, *map(str, file)))

    def index(self, shard: Sequence[int]) -> NDArray[np.uint64]:
        """Return (offset, size) of each chunk of a shard; raise OSError if it is missing or torn."""
        with open(open_regular(self.path(shard)), "rb", buffering=0) as file:
            nbytes = os.fstat(file.fileno()).st_size
            entries = ChunkFile(self.encoding, file, nbytes).index()
        assert self.encoding.index_format is not None
        if end_of_data(entries) > self.encoding.index_format.offset(nbytes):
            raise TornIndexError("the shard is shorter than its index states")
        return entries

    def column(self, cell: Cell, *, torn_as_missing: bool = False) -> Chunk | None:
        """Return the chunks of a cell (see `Grid`), with zeros for missing ones; None if all are missing.

        Raises OSError, or an exception of the codecs, if one cannot be read. With `torn_as_missing`, the chunks of a
        shard without a valid index are missing.
        """
        from ome_writers.untrusted import (
            locate,  # of files that a mirror has moved, reads those there
        )

        grid, encoding = self.grid, self.encoding
        column: Chunk | None = None
        tiles = [(*cell, *divmod(tile, grid.tiles[1])) for tile in range(grid.column_shape[0])]
        by_file: dict[tuple[int, ...], list[int]] = {}
        for tile, coordinate in enumerate(tiles):
            by_file.setdefault(tuple(encoding.file_of(coordinate)), []).append(tile)
        for at, inside in by_file.items():
            key = "/".join((self._key, *map(str, at)))
            with (
                suppress(FileNotFoundError),
                locate(self._root, key).open_range() as (file, (start, nbytes)),
            ):
                chunks = ChunkFile(encoding, file, nbytes, start)
                for tile in inside:
                    try:
                        stored = chunks.read(tiles[tile])
                    except TornIndexError as error:
                        if torn_as_missing:
                            break
                        raise TornIndexError(f"{self.path(at)}: {error}.") from error
                    if stored is not None:
                        if column is None:
                            column = np.zeros(grid.column_shape, grid.dtype)
                        column[tile] = encoding.decode(stored).reshape(grid.column_shape[1:])
        return column

    def plane(self, index: tuple[int, ...], *, torn_as_missing: bool = False) -> Chunk:
        """Return a plane, with zeros where it is missing; see `column`."""
        cell, slot = self.grid.split(index)
        column = self.column(cell, torn_as_missing=torn_as_missing)
        if column is None:
            return np.zeros(self.grid.frame_shape, self.grid.dtype)
        return self.grid.extract_plane(column, slot)
