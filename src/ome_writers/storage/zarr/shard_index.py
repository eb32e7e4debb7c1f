"""The index of a shard: where each chunk lies, and a checksum.

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
    "aligned",
    "beside",
    "copied",
    "decode",
    "empty_index",
    "encode",
    "end_of_data",
    "size_of_index",
]

EMPTY = np.uint64(2**64 - 1)
"""Offset and size of a chunk that is not there."""


_ENTRY_BYTES = 16  # of an entry; a sector of a disk is a multiple of it


def aligned(offset: int) -> int:
    """Return the first offset not below `offset` at which no entry of an index crosses a sector of the disk."""
    return -(-offset // _ENTRY_BYTES) * _ENTRY_BYTES


def beside(shard: Path) -> Path:
    """Return the path of a shard's temporary file: the shard before it appears, or a copy of its index."""
    return shard.with_name(f".{shard.name}.tmp")


@contextmanager
def copied(shard: Path, index: bytes) -> Iterator[None]:
    """Have a synced copy of a shard's index beside the shard, until the block has written the next one."""
    copy = beside(shard)
    copy.write_bytes(index)
    sync_file(copy)
    sync_folder(copy.parent)
    yield
    copy.unlink()
    sync_folder(copy.parent)


def empty_index(chunks: int) -> NDArray[np.uint64]:
    """Return the index of a shard without chunks: (offset, size) of each, shape (chunks, 2)."""
    return np.full((chunks, 2), EMPTY, dtype="<u8")


def size_of_index(chunks: int) -> int:
    """Return the bytes that the index of a shard of so many chunks takes."""
    return _ENTRY_BYTES * chunks + 4


def encode(entries: NDArray[np.uint64]) -> bytes:
    """Return an index as it is stored."""
    stored: bytes = entries.tobytes()
    return stored + _checksum(stored)


def decode(stored: bytes, *, checked: bool = True) -> NDArray[np.uint64] | None:
    """Return a stored index; None when its checksum is wrong, unless that does not matter."""
    table, checksum = stored[:-4], stored[-4:]
    if len(table) % _ENTRY_BYTES or (checked and checksum != _checksum(table)):
        return None
    entries: NDArray[np.uint64] = np.frombuffer(table, "<u8").reshape(-1, 2).copy()
    return entries


def end_of_data(entries: NDArray[np.uint64]) -> int:
    """Return the offset behind the last byte of any chunk."""
    used = entries[entries[:, 0] != EMPTY]
    return int(used.sum(axis=1).max()) if len(used) else 0


def _checksum(table: bytes) -> bytes:
    from google_crc32c import value

    return int(value(table)).to_bytes(4, "little")
