"""Recover shard files after a crash: find the index, validate it, and move it to its final offset.

Independent of the engine that wrote the file. A chunk that can be decoded is never dropped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.file_sync import sync
from ome_writers.formats.report import Finding
from ome_writers.storage import open_file, read_at, write_at
from ome_writers.storage.zarr import (
    EMPTY,
    Codec,
    Grid,
    ShardIndexFormat,
    TornIndexError,
    shard_index,
)
from ome_writers.untrusted import open_regular


class RecoveredIndex(NamedTuple):
    """A shard's index, its offset in the file, and whether readers find it as it is."""

    entries: NDArray[np.uint64]
    offset: int
    valid: bool


class ShardRecovery:
    """Recovers the shards of one array."""

    def __init__(self, plan: LevelSpec) -> None:
        outer = plan.shards or plan.chunks
        self.chunks = tuple(o // c for o, c in zip(outer, plan.chunks, strict=True))
        self._plan = plan
        self._grid = Grid(plan)
        self._codec = Codec(plan.compression, plan.numpy_dtype)
        self._index_format = ShardIndexFormat(math.prod(self.chunks))
        self._index_bytes = self._index_format.nbytes

    def read_index(self, path: Path, shard: tuple[int, ...]) -> RecoveredIndex | None:
        """Return the index of the shard at coordinate `shard`; None if no index can be found."""
        fd = open_regular(path)
        try:
            return self._find_index(fd, path, shard)
        finally:
            os.close(fd)

    def recover_shard(
        self, coordinate: tuple[int, ...], path: Path, *, dry_run: bool, truncate: bool = True
    ) -> Iterator[Finding]:
        """Bring a shard into the state in which `close` leaves it; yield the problems found.

        Without `truncate` a valid shard may be longer than its data.
        """
        fd = open_regular(path) if dry_run else open_file(path)
        try:
            size = os.fstat(fd).st_size
            index = self._find_index(fd, path, coordinate)
            if index is None:
                yield Finding(path, "shard without a readable index: unchanged", solved=False)
                return
            used = index.entries[index.entries[:, 0] != EMPTY]
            end = shard_index.end_of_data(index.entries)
            # The old index is valid until the file is truncated after the new one: they must not overlap.
            movable = end + self._index_bytes <= index.offset
            if index.valid and not (movable and truncate):
                return
            if index.valid:
                yield Finding(path, "shard longer than its data: truncated")
            else:
                chunks = f"{len(used)} of {len(index.entries)} chunks"
                yield Finding(path, f"shard with a torn index: rebuilt, {chunks}")
            if not dry_run:
                offset = end if movable else index.offset
                write_at(fd, [shard_index.encode(index.entries)], offset)
                sync(fd)
                if offset + self._index_bytes != size:
                    os.ftruncate(fd, offset + self._index_bytes)
        finally:
            os.close(fd)

    def is_possible_size(self, size: int) -> bool:
        """Whether a stored chunk can have this size, in bytes."""
        return size == self._grid.chunk_bytes if self._codec.identity else size > 0

    def decode(self, stored: bytes) -> NDArray[np.generic] | None:
        """Return the pixels of a chunk; None if it cannot be decoded."""
        try:
            raw = self._codec.decode(stored, self._grid.chunk_bytes)
        except Exception:  # codecs raise various errors for invalid data
            return None
        if len(raw) != self._grid.chunk_bytes:
            return None
        return np.frombuffer(raw, self._plan.numpy_dtype).reshape(self._plan.chunks)

    def _find_index(self, fd: int, path: Path, shard: tuple[int, ...]) -> RecoveredIndex | None:
        """Return a shard's index from wherever it can be found; None if there is none."""
        size = os.fstat(fd).st_size
        end = size - self._index_bytes
        index = (
            self._read_valid(fd, end, end)
            or self._read_backup(path, size)
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
        invalid = self._invalid(entries, offset)
        entries[invalid] = EMPTY
        return RecoveredIndex(entries, offset, offset == end and not invalid.any())

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
        return RecoveredIndex(entries, shard_index.end_of_data(entries) + self._index_bytes, False)

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
        entries[invalid] = EMPTY
        for number in np.flatnonzero(entries[:, 0] != EMPTY).tolist():
            offset, length = entries[number].tolist()
            if self.decode(read_at(fd, length, offset)) is None:
                entries[number] = EMPTY
        return RecoveredIndex(entries, end, False) if (entries != EMPTY).any() else None

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
        if self._codec.identity:
            wrong = size != self._grid.chunk_bytes
        else:
            max_size = self._codec.max_encoded_bytes(self._grid.chunk_bytes) * 2
            wrong = (size == 0) | (size > max_size)
        wrong = wrong | (offset > end) | (size > end) | (offset + size > end)
        return np.asarray(used & wrong)
