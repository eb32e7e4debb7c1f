"""Shard indexes at the start or end of a file, with and without checksum, and torn ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ome_writers.storage.zarr import EMPTY, ShardIndexFormat, TornIndexError
from ome_writers.storage.zarr.shard_index import encode

ENTRIES = np.array([[0, 5], [EMPTY, EMPTY], [5, 3]], dtype="<u8")


def read(path: Path, content: bytes, index: ShardIndexFormat, **options: bool) -> np.ndarray:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return index.read(fd, **options)
    finally:
        os.close(fd)


@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_index_is_read_from_either_end(at_start: bool, checksum: bool, tmp_path: Path) -> None:
    index = ShardIndexFormat(3, at_start, checksum)
    stored = encode(ENTRIES) if checksum else ENTRIES.tobytes()
    assert len(stored) == index.nbytes
    content = stored + b"chunks.." if at_start else b"chunks.." + stored
    np.testing.assert_array_equal(read(tmp_path / "0", content, index), ENTRIES)
    assert index.offset(len(content)) == (0 if at_start else 8)


def test_torn_index_is_refused(tmp_path: Path) -> None:
    index, stored = ShardIndexFormat(3), encode(ENTRIES)
    with pytest.raises(TornIndexError, match="shorter than its index"):
        read(tmp_path / "0", stored[1:], index)
    torn = stored[:16] + b"\x07" + stored[17:]
    with pytest.raises(TornIndexError, match="CRC-32C"):
        read(tmp_path / "0", torn, index)
    assert read(tmp_path / "0", torn, index, verify=False)[1, 0] == EMPTY - np.uint64(248)
    with pytest.raises(TornIndexError, match="truncated"):
        index.decode(stored[:-1])
