"""Shard files that a writer has left: their index is found, judged, and brought to where it belongs.

Nothing here needs the engine that wrote. A chunk that can be read is never given up.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.storage.contract import Finding
from ome_writers.storage.positional_io import open_file, read_at, write_at
from ome_writers.storage.zarr import shard_index
from ome_writers.storage.zarr.chunk_grid import Grid
from ome_writers.storage.zarr.codec import Codec
from ome_writers.storage.zarr.shard_index import EMPTY
from ome_writers.untrusted import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan

__all__ = ["ShardIndex", "ShardRecovery"]


class ShardIndex(NamedTuple):
    """A shard's index, where it stands, and whether the file can be read by it as it is."""

    entries: NDArray[np.uint64]
    at: int
    sound: bool


class ShardRecovery:
    """The shards of one array, and how their chunks are stored."""

    def __init__(self, plan: ArrayPlan) -> None:
        outer = plan.shards or plan.chunks
        self.chunks = tuple(o // c for o, c in zip(outer, plan.chunks, strict=True))
        self._plan = plan
        self._grid = Grid(plan)
        self._codec = Codec(plan.compression, plan.dtype)
        self._index_bytes = shard_index.size_of_index(math.prod(self.chunks))

    def read_index(self, path: Path, shard: tuple[int, ...]) -> ShardIndex | None:
        """Return the index of the shard at coordinate `shard`; None when there is nothing that could be one."""
        fd = open_regular(path)
        try:
            return self._index(fd, path, shard)
        finally:
            os.close(fd)

    def recover_shard(
        self, coordinate: tuple[int, ...], path: Path, *, dry_run: bool, cut: bool = True
    ) -> Iterator[Finding]:
        """Give a shard the form that it would have after `close`; yield what was found."""
        fd = open_regular(path) if dry_run else open_file(path)
        try:
            size = os.fstat(fd).st_size
            index = self._index(fd, path, coordinate)
            if index is None:
                yield Finding(path, "a shard without a readable index: left as it is", solved=False)
                return
            used = index.entries[index.entries[:, 0] != EMPTY]
            end = shard_index.end_of_data(index.entries)
            # the new index must not touch the one that is valid until the file ends behind the new one
            room = end + self._index_bytes <= index.at
            if index.sound and not (room and cut):
                return
            if index.sound:
                yield Finding(path, "a shard longer than its data: index moved behind them")
            else:
                total = len(index.entries)
                yield Finding(
                    path, f"a shard with a torn index: rebuilt, {len(used)} of {total} chunks"
                )
            if not dry_run:
                at = end if room else index.at
                write_at(fd, [shard_index.encode(index.entries)], at)
                os.fsync(fd)
                if at + self._index_bytes != size:
                    os.ftruncate(fd, at + self._index_bytes)
        finally:
            os.close(fd)

    def sound(self, size: int) -> bool:
        """Whether a stored chunk can have this size, in bytes."""
        return size == self._grid.chunk_bytes if self._codec.identity else size > 0

    def decoded(self, stored: bytes) -> NDArray[np.generic] | None:
        """Return a chunk's pixels; None when its bytes cannot be decoded."""
        try:
            raw = self._codec.decode(stored, self._grid.chunk_bytes)
        except Exception:  # what the codecs raise for bytes that are not theirs is their own affair
            return None
        if len(raw) != self._grid.chunk_bytes:
            return None
        return np.frombuffer(raw, self._plan.dtype).reshape(self._plan.chunks)

    def _index(self, fd: int, path: Path, shard: tuple[int, ...]) -> ShardIndex | None:
        """Return a shard's index from where it can be; None when there is nothing that could be one."""
        size = os.fstat(fd).st_size
        end = size - self._index_bytes
        index = self._valid(fd, end, end) or self._saved(path, size) or self._torn(fd, end)
        for at in () if index else self._places(shard):
            index = index or self._valid(fd, at, end)
        return index or self._torn(fd, end, most_wrong=self._grid.shard_chunks)

    def _valid(self, fd: int, at: int, end: int) -> ShardIndex | None:
        """Return the index at an offset; None when its checksum is wrong."""
        table = read_at(fd, self._index_bytes, at) if 0 <= at <= end else b""
        entries = shard_index.decode(table) if len(table) == self._index_bytes else None
        if entries is None:
            return None
        bad = self._outside(entries, at)
        entries[bad] = EMPTY
        return ShardIndex(entries, at, at == end and not bad.any())

    def _saved(self, path: Path, size: int) -> ShardIndex | None:
        """Return the copy of an index that was about to move when the power failed; None when there is none."""
        saved = shard_index.beside(path)
        if not saved.is_file() or saved.is_symlink() or saved.stat().st_size != self._index_bytes:
            return None
        entries = shard_index.decode(saved.read_bytes())
        if entries is None:
            return None
        entries[self._outside(entries, size)] = EMPTY
        return ShardIndex(entries, shard_index.end_of_data(entries) + self._index_bytes, False)

    def _torn(self, fd: int, end: int, *, most_wrong: int = 0) -> ShardIndex | None:
        """Return the index at the end of a file with a wrong checksum; None if too many entries cannot be right.

        Half an old and half a new index: each entry is one or the other, and both were right.
        """
        if end < 0:
            return None
        entries = shard_index.decode(read_at(fd, self._index_bytes, end), checked=False)
        if entries is None:
            return None
        half_empty = (entries[:, 0] == EMPTY) != (entries[:, 1] == EMPTY)
        wrong = self._outside(entries, end) | half_empty
        if np.count_nonzero(wrong) > most_wrong:
            return None
        entries[wrong] = EMPTY
        for number in np.flatnonzero(entries[:, 0] != EMPTY).tolist():
            offset, length = entries[number].tolist()
            if self.decoded(read_at(fd, length, offset)) is None:
                entries[number] = EMPTY
        return ShardIndex(entries, end, False) if (entries != EMPTY).any() else None

    def _places(self, shard: tuple[int, ...]) -> Iterator[int]:
        """Yield where the direct engine keeps the index of a shard that is not complete."""
        most = self._codec.most(self._grid.chunk_bytes)
        part = next(p for p in self._grid.parts if p.yx == shard[-2:])
        for chunks in (self._grid.chunks_in(shard[:-2], part), self._grid.shard_chunks):
            yield shard_index.aligned(chunks * most)
            yield shard_index.aligned((chunks + 2 * self._grid.shard_chunks) * most)

    def _outside(self, entries: NDArray[np.uint64], end: int) -> NDArray[np.bool_]:
        """Return which used entries cannot be right: they lead past the data, or have an impossible size."""
        used = entries[:, 0] != EMPTY
        offset, size = entries[:, 0], entries[:, 1]
        if self._codec.identity:
            wrong = size != self._grid.chunk_bytes
        else:
            wrong = (size == 0) | (size > self._codec.most(self._grid.chunk_bytes) * 2)
        wrong = wrong | (offset > end) | (size > end) | (offset + size > end)
        return np.asarray(used & wrong)
