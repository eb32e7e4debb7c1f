"""The index of a shard: offset and size of each chunk, and a checksum.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Imported by create_stream, not by the thread that writes the first shard: without its C extension it warns that it is
# slow, and if warnings are errors, no frame may be lost.
import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ome_writers.file_sync import sync_file, sync_folder
from ome_writers.storage.positional_io import read_fully

EMPTY = np.uint64(2**64 - 1)
"""Offset and size of a missing chunk."""

_ENTRY_BYTES = 16  # a disk sector is a multiple of it


class TornIndexError(OSError):
    """The index of a shard is truncated or does not match its checksum; a writer may be replacing it."""


class ShardIndexFormat(NamedTuple):
    """The encoding of the shard indexes of an array. The defaults are those of the arrays that ome-writers writes."""

    chunks: int  # number of chunks in a shard, and of entries in its index
    at_start: bool = False  # whether the index is at the start of the file, instead of its end
    checksum: bool = True  # whether a CRC-32C follows the entries

    @property
    def nbytes(self) -> int:
        """Encoded size."""
        return _ENTRY_BYTES * self.chunks + 4 * self.checksum

    def offset(self, file_size: int) -> int:
        """Return the offset of the index; negative in a file that is too short for it."""
        end = file_size - self.nbytes
        return 0 if self.at_start and end >= 0 else end

    def read(
        self, fd: int, offset: int | None = None, *, verify: bool = True
    ) -> NDArray[np.uint64]:
        """Return (offset, size) of each chunk, shape (chunks, 2), from the index of an open shard.

        `offset` is that of the index; by default, where readers look for it.

        Raises TornIndexError if the file ends before the index does, or the checksum does not match.
        """
        return self.decode(self.read_stored(fd, offset), verify=verify)

    def read_stored(self, fd: int, offset: int | None = None) -> bytes:
        """Return the stored index of an open shard, unchecked; see `read`."""
        if offset is None:
            offset = self.offset(os.fstat(fd).st_size)
        if offset < 0:
            raise TornIndexError("the shard is shorter than its index")
        return read_fully(fd, self.nbytes, offset)

    def decode(self, stored: bytes, *, verify: bool = True) -> NDArray[np.uint64]:
        """Return the entries of a stored index; see `read`."""
        if len(stored) != self.nbytes:
            raise TornIndexError("the shard index is truncated")
        table = stored[: _ENTRY_BYTES * self.chunks]
        if self.checksum and verify and stored[len(table) :] != _checksum(table):
            raise TornIndexError("the CRC-32C of the shard index does not match")
        entries: NDArray[np.uint64] = np.frombuffer(table, "<u8").reshape(-1, 2).copy()
        return entries


def align_index(offset: int) -> int:
    """Return the first offset at or after `offset` where no index entry crosses a disk sector."""
    return -(-offset // _ENTRY_BYTES) * _ENTRY_BYTES


def temporary_path(shard: Path) -> Path:
    """Return the path of a shard's temporary file: the new shard before its rename, or the backup of its index."""
    return shard.with_name(f".{shard.name}.tmp")


@contextmanager
def backup(shard: Path, index: bytes) -> Iterator[None]:
    """Keep a synced copy of a shard's index beside the shard while the block writes the next index."""
    copy = temporary_path(shard)
    copy.write_bytes(index)
    sync_file(copy)
    sync_folder(copy.parent)
    yield
    copy.unlink()
    sync_folder(copy.parent)


def empty_index(chunks: int) -> NDArray[np.uint64]:
    """Return the index of a shard without chunks: (offset, size) of each chunk, shape (chunks, 2)."""
    return np.full((chunks, 2), EMPTY, dtype="<u8")


def encode(entries: NDArray[np.uint64]) -> bytes:
    """Return the stored form of an index."""
    stored: bytes = entries.tobytes()
    return stored + _checksum(stored)


def end_of_data(entries: NDArray[np.uint64]) -> int:
    """Return the offset after the last byte of any chunk."""
    used = entries[entries[:, 0] != EMPTY]
    return int(used.sum(axis=1).max()) if len(used) else 0


def _checksum(table: bytes) -> bytes:
    return int(google_crc32c.value(table)).to_bytes(4, "little")
