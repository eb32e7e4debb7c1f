"""The index of a shard: offset and size of each chunk, and a checksum.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.files import sync_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "EMPTY",
    "align_index",
    "backup",
    "decode",
    "empty_index",
    "encode",
    "end_of_data",
    "size_of_index",
    "temporary_path",
]

EMPTY = np.uint64(2**64 - 1)
"""Offset and size of a missing chunk."""

_ENTRY_BYTES = 16  # a disk sector is a multiple of it


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


def size_of_index(chunks: int) -> int:
    """Return the encoded size, in bytes, of an index for this number of chunks."""
    return _ENTRY_BYTES * chunks + 4


def encode(entries: NDArray[np.uint64]) -> bytes:
    """Return the stored form of an index."""
    stored: bytes = entries.tobytes()
    return stored + _checksum(stored)


def decode(stored: bytes, *, verify: bool = True) -> NDArray[np.uint64] | None:
    """Return the entries of a stored index; None if its size, or with `verify` its checksum, is wrong."""
    table, checksum = stored[:-4], stored[-4:]
    if len(table) % _ENTRY_BYTES or (verify and checksum != _checksum(table)):
        return None
    entries: NDArray[np.uint64] = np.frombuffer(table, "<u8").reshape(-1, 2).copy()
    return entries


def end_of_data(entries: NDArray[np.uint64]) -> int:
    """Return the offset after the last byte of any chunk."""
    used = entries[entries[:, 0] != EMPTY]
    return int(used.sum(axis=1).max()) if len(used) else 0


def _checksum(table: bytes) -> bytes:
    from google_crc32c import value

    return int(value(table)).to_bytes(4, "little")
