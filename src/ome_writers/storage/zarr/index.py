"""The index of a shard: where each chunk lies, and a checksum.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EMPTY", "decode", "empty_index", "encode", "end_of_data", "size_of_index"]

EMPTY = np.uint64(2**64 - 1)
"""Offset and size of a chunk that is not there."""


def empty_index(chunks: int) -> NDArray[np.uint64]:
    """Return the index of a shard without chunks: (offset, size) of each, shape (chunks, 2)."""
    return np.full((chunks, 2), EMPTY, dtype="<u8")


def size_of_index(chunks: int) -> int:
    """Return the bytes that the index of a shard of so many chunks takes."""
    return 16 * chunks + 4


def encode(entries: NDArray[np.uint64]) -> bytes:
    """Return an index as it is stored."""
    stored: bytes = entries.tobytes()
    return stored + _checksum(stored)


def decode(stored: bytes, *, checked: bool = True) -> NDArray[np.uint64] | None:
    """Return a stored index; None when its checksum is wrong, unless that does not matter."""
    table, checksum = stored[:-4], stored[-4:]
    if len(table) % 16 or (checked and checksum != _checksum(table)):
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
