"""Read shards that another library has written, and find incomplete ones.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.storage.zarr.chunk_file import ChunkReader
from ome_writers.storage.zarr.shard_index import EMPTY

_BLOCK_BYTES = 4096  # allocation unit of file systems
_MIN_HOLE_BYTES = 512  # fewer zeros may well be data


class ShardReader:
    """The shards of one array, with their index at the end, read plane by plane."""

    def __init__(self, folder: Path, level: LevelSpec) -> None:
        self._chunks = ChunkReader(folder, level)
        self._grid, self._path = self._chunks.grid, self._chunks.path

    def shard(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return the coordinate of the shards of a plane, without y and x."""
        return tuple(self._grid.shard(self._grid.split(index)[0])[0])

    def is_complete(self, shard: tuple[int, ...]) -> bool:
        """Whether all shards at this coordinate (across y and x) exist and have a valid index."""
        return all(self._index((*shard, *part.yx)) is not None for part in self._grid.parts)

    def lost_frames(
        self, planes: Iterable[tuple[int, tuple[int, ...]]], *, strict: bool
    ) -> list[int]:
        """Return the numbers of those planes (number and index) that are not in a complete shard.

        With `strict`, a plane is also lost if one of its chunks is missing from its shard or has a hole: a full disk
        can truncate a write, and the index may be written later, after space was freed. Without `strict`, a missing
        chunk counts as zeros, which writers omit. The number -1, of skipped and derived planes, is never returned.
        """
        indexes: dict[tuple[int, ...], list[NDArray[np.uint64] | None]] = {}
        lost = []
        for number, index in planes:
            outer, plane = self._grid.shard(self._grid.split(index)[0])
            if outer not in indexes:
                indexes[outer] = [self._index((*outer, *part.yx)) for part in self._grid.parts]
            first = plane * self._grid.plane_chunks
            for part, entries in zip(self._grid.parts, indexes[outer], strict=True):
                if number == -1:
                    continue
                wanted = None if entries is None else entries[[first + i for i in part.inner]]
                path = self._path((*outer, *part.yx))
                if wanted is None or (strict and not _are_complete(path, wanted)):
                    lost.append(number)
                    break
        return lost

    def remove_torn(self, shards: Iterable[tuple[int, ...]]) -> None:
        """Remove shard files without a valid index: readers of the array fail on them."""
        for shard in shards:
            for part in self._grid.parts:
                key = (*shard, *part.yx)
                if self._index(key) is None:
                    with suppress(OSError):  # it does not exist, or the disk has become read-only
                        os.unlink(self._path(key))

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return a plane; zeros where a shard is incomplete."""
        return self._chunks.plane(index, torn_as_missing=True)

    def _index(self, key: tuple[int, ...]) -> NDArray[np.uint64] | None:
        """Return (offset, size) of each chunk of a shard; None if it has no valid index."""
        try:
            return self._chunks.index(key)
        except OSError:  # the file is missing, or its index is torn
            return None


def _are_complete(path: str, entries: NDArray[np.uint64]) -> bool:
    """Whether all chunks of `entries` are in a shard, and no block of the file system inside them is a hole."""
    if (entries[:, 0] == EMPTY).any():
        return False
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        # a file with all its blocks allocated has no holes, and need not be read
        if getattr(status, "st_blocks", 0) * 512 >= status.st_size:
            return True
        for offset, size in entries.tolist():
            file.seek(offset)
            head = file.read(min(-offset % _BLOCK_BYTES, size))
            tail = file.read(size - len(head))
            blocks = [
                head,
                *(tail[i : i + _BLOCK_BYTES] for i in range(0, len(tail), _BLOCK_BYTES)),
            ]
            if any(len(block) >= _MIN_HOLE_BYTES and not block.strip(b"\0") for block in blocks):
                return False
    return True
