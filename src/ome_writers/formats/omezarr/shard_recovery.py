"""Recover shard files after a crash: find the index, validate it, and move it to its final offset.

Independent of the engine that wrote the file. A chunk that can be decoded is never dropped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import CRC32C_BYTES, crc32c
from ome_writers.dataset import LevelSpec
from ome_writers.file_sync import sync
from ome_writers.formats.report import Finding
from ome_writers.storage import open_file, read_at, write_at
from ome_writers.storage.zarr import (
    EMPTY,
    ChunkEncoding,
    Codec,
    Grid,
    ShardIndexFormat,
    TornIndexError,
    shard_index,
)
from ome_writers.untrusted import open_regular

_CRC32C_POLYNOMIAL = 0x82F63B78  # reflected


def correct_bit(stored: bytes) -> bytes | None:
    """Return bytes that end with their CRC-32C without the bit that was flipped in them; None if it is not one bit.

    A flipped bit changes the checksum by a value that depends on its distance from the end only.
    """
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CRC32C_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    by_high_byte = {value >> 24: low for low, value in enumerate(table)}
    bits = {table[1 << bit]: bit for bit in range(8)}
    content = stored[:-CRC32C_BYTES]
    expected, found = (
        int.from_bytes(c, "little") for c in (stored[-CRC32C_BYTES:], crc32c(content))
    )
    change = expected ^ found
    if change and change & (change - 1) == 0:  # in the checksum itself
        return content + found.to_bytes(CRC32C_BYTES, "little")
    for at in reversed(range(len(content))):
        if (bit := bits.get(change)) is not None:
            corrected = bytearray(stored)
            corrected[at] ^= 1 << bit
            return bytes(corrected)
        low = by_high_byte[change >> 24]  # as if the message had one byte less behind the bit
        change = (change ^ table[low]) << 8 & 0xFFFFFFFF | low
    return None


UNREADABLE = (0, 1)
"""Offset and size of a chunk whose index entry is lost: no codec decodes a single byte, so readers raise an error."""


class RecoveredIndex(NamedTuple):
    """A shard's index.

    Attributes
    ----------
    entries
        (offset, size) of each chunk, without the damaged ones.
    offset
        Of the index in the file.
    torn
        Whether readers do not find it as it is.
    damaged
        The numbers of the chunks that the stored index has, with an impossible offset or size.
    """

    entries: NDArray[np.uint64]
    offset: int
    torn: bool
    damaged: tuple[int, ...] = ()


class ShardRecovery:
    """Recovers the shards of one array."""

    def __init__(self, level: LevelSpec) -> None:
        self.encoding = ChunkEncoding.of(level)
        self._grid = Grid(level)
        self._codec = Codec(level.compression, level.numpy_dtype, checksum=level.checksum)
        self._index_format = ShardIndexFormat(math.prod(self.encoding.per_file))
        self._index_bytes = self._index_format.nbytes

    def read_index(self, path: Path, shard: tuple[int, ...]) -> RecoveredIndex | None:
        """Return the index of the shard at coordinate `shard`; None if no index can be found."""
        fd = open_regular(path)
        try:
            return self._find_index(fd, path, shard)
        finally:
            os.close(fd)

    def decode_index(self, stored: bytes) -> NDArray[np.uint64]:
        """Return offset and size of each chunk from the stored index of a shard."""
        return self._index_format.decode(stored)

    def recover_shard(
        self, coordinate: tuple[int, ...], path: Path, *, dry_run: bool, truncate: bool = True
    ) -> Iterator[Finding]:
        """Bring a shard into the state in which `close` leaves it; yield the problems found.

        Without `truncate`, `close` has left it: it may be longer than its data. An index entry that cannot be right is
        damaged then, not torn by a crash, and must not become a missing chunk, which readers return as zeros.
        """
        fd = open_regular(path) if dry_run else open_file(path)
        try:
            index = self._find_index(fd, path, coordinate)
            if index is None:
                yield Finding(path, "shard without a readable index: unchanged", solved=False)
                return
            if index.damaged and not truncate:
                what = f"the index entries of {len(index.damaged)} chunks are damaged: reading them is an error"
                if not index.torn:
                    yield Finding(path, what, solved=False)
                    return
                index.entries[list(index.damaged)] = UNREADABLE
                yield Finding(path, what, solved=False)
            used = index.entries[index.entries[:, 0] != EMPTY]
            intact = not (index.torn or index.damaged)
            if intact and not (self._is_movable(index) and truncate):
                return
            if intact:
                yield Finding(path, "shard longer than its data: truncated")
            else:
                chunks = f"{len(used)} of {len(index.entries)} chunks"
                yield Finding(path, f"shard with a torn index: rebuilt, {chunks}")
            if not dry_run:
                self._write_index(fd, index)
        finally:
            os.close(fd)

    def remove_chunks(self, path: Path, shard: tuple[int, ...], numbers: Sequence[int]) -> None:
        """Remove chunks, by their numbers, from a shard with a valid index; remove a shard without other chunks."""
        fd = open_file(path)
        try:
            index = self._find_index(fd, path, shard)
            assert index is not None
            index.entries[list(numbers)] = EMPTY
            if used := bool((index.entries[:, 0] != EMPTY).any()):
                self._write_index(fd, index)
        finally:
            os.close(fd)
        if not used:
            path.unlink()

    def _is_movable(self, index: RecoveredIndex) -> bool:
        # The old index is valid until the file is truncated after the new one: they must not overlap.
        return shard_index.end_of_data(index.entries) + self._index_bytes <= index.offset

    def _write_index(self, fd: int, index: RecoveredIndex) -> None:
        end = shard_index.end_of_data(index.entries)
        offset = end if self._is_movable(index) else index.offset
        write_at(fd, [shard_index.encode(index.entries)], offset)
        sync(fd)
        if offset + self._index_bytes != os.fstat(fd).st_size:
            os.ftruncate(fd, offset + self._index_bytes)

    def chunk_coordinates(
        self, shard: tuple[int, ...], numbers: NDArray[np.int64] | int
    ) -> Iterator[tuple[int, ...]]:
        """Return the coordinates of chunks, by their numbers in a shard."""
        chunks = self.encoding.per_file
        inner = np.unravel_index(np.atleast_1d(numbers), chunks)
        axes = [(c * n + i).tolist() for c, n, i in zip(shard, chunks, inner, strict=True)]
        return zip(*axes, strict=True)

    @property
    def stored_as_is(self) -> bool:
        """Whether chunks have neither a compression nor a checksum, so that every chunk can be decoded."""
        return self._codec.identity

    @property
    def has_checksum(self) -> bool:
        """Whether each chunk is followed by the checksum of its stored bytes."""
        return self._codec.checksum

    def is_possible_size(self, size: int) -> bool:
        """Whether a stored chunk can have this size, in bytes."""
        return self._codec.is_possible_size(size, self._grid.chunk_bytes)

    def can_decode(self, stored: bytes) -> bool:
        """Whether a stored chunk can be decoded."""
        try:
            self.encoding.decode(stored)
        except Exception:  # codecs raise various errors for invalid data
            return False
        return True

    def _find_index(self, fd: int, path: Path, shard: tuple[int, ...]) -> RecoveredIndex | None:
        """Return a shard's index from wherever it can be found; None if there is none."""
        size = os.fstat(fd).st_size
        end = size - self._index_bytes
        index = (
            self._read_valid(fd, end, end)
            or self._read_backup(path, size)
            or self._read_corrected(fd, end)
            or self._read_torn(fd, end)
        )
        for offset in () if index else self._possible_offsets(shard):
            index = index or self._read_valid(fd, offset, end)
        return index or self._read_torn(fd, end, max_invalid=self._grid.shard_chunks)

    def _read_valid(self, fd: int, offset: int, end: int) -> RecoveredIndex | None:
        """Return the index at an offset; None if its checksum is wrong."""
        if offset > end:
            return None
        try:
            entries = self._index_format.read(fd, offset)
        except TornIndexError:
            return None
        return self._without_invalid(
            entries, self._invalid(entries, offset), offset, torn=offset != end
        )

    def _read_backup(self, path: Path, size: int) -> RecoveredIndex | None:
        """Return the backup of an index that was being moved during a power loss; None if there is none."""
        backup = shard_index.temporary_path(path)
        if (
            not backup.is_file()
            or backup.is_symlink()
            or backup.stat().st_size != self._index_bytes
        ):
            return None
        try:
            entries = self._index_format.decode(backup.read_bytes())
        except TornIndexError:
            return None
        entries[self._invalid(entries, size)] = EMPTY
        return RecoveredIndex(entries, shard_index.end_of_data(entries) + self._index_bytes, True)

    def _read_corrected(self, fd: int, end: int) -> RecoveredIndex | None:
        """Return the index at the end of a file without the bit that was flipped; None if it is not a single one."""
        try:
            stored = self._index_format.read_stored(fd, end)
        except TornIndexError:
            return None
        corrected = correct_bit(stored)
        if corrected is None:
            return None
        entries = self._index_format.decode(corrected)
        return None if self._invalid(entries, end).any() else RecoveredIndex(entries, end, True)

    def _read_torn(self, fd: int, end: int, *, max_invalid: int = 0) -> RecoveredIndex | None:
        """Return the index at the end of a file with a wrong checksum; None if too many entries are invalid.

        A torn index is a mix of an old and a new one. Each entry is one or the other, and both were correct.
        """
        try:
            entries = self._index_format.read(fd, end, verify=False)
        except TornIndexError:
            return None
        half_empty = (entries[:, 0] == EMPTY) != (entries[:, 1] == EMPTY)
        invalid = self._invalid(entries, end) | half_empty
        if np.count_nonzero(invalid) > max_invalid:
            return None
        for number in np.flatnonzero((entries[:, 0] != EMPTY) & ~invalid).tolist():
            offset, length = entries[number].tolist()
            invalid[number] = not self.can_decode(read_at(fd, length, offset))
        index = self._without_invalid(entries, invalid, end, torn=True)
        return index if (index.entries != EMPTY).any() else None

    @staticmethod
    def _without_invalid(
        entries: NDArray[np.uint64], invalid: NDArray[np.bool_], offset: int, *, torn: bool
    ) -> RecoveredIndex:
        damaged = np.flatnonzero(invalid).tolist()
        entries[invalid] = EMPTY
        return RecoveredIndex(entries, offset, torn, tuple(damaged))

    def _possible_offsets(self, shard: tuple[int, ...]) -> Iterator[int]:
        """Yield the offsets at which the direct engine writes the index of an incomplete shard."""
        size = self._codec.max_encoded_bytes(self._grid.chunk_bytes)
        part = next(p for p in self._grid.parts if p.yx == shard[-2:])
        for chunks in (self._grid.chunks_in(shard[:-2], part), self._grid.shard_chunks):
            yield shard_index.align_index(chunks * size)
            yield shard_index.align_index((chunks + 2 * self._grid.shard_chunks) * size)

    def _invalid(self, entries: NDArray[np.uint64], end: int) -> NDArray[np.bool_]:
        """Return which used entries point past `end` or have an impossible size."""
        used = entries[:, 0] != EMPTY
        offset, size = entries[:, 0], entries[:, 1]
        max_size = self._codec.max_encoded_bytes(self._grid.chunk_bytes)
        wrong = (size <= 1) | (size > 2 * max_size) if self._codec.compressed else size != max_size
        wrong = wrong | (offset > end) | (size > end) | (offset + size > end)
        return np.asarray(used & wrong)
