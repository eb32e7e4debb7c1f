"""The grid of chunks and shards: maps planes to chunks. Arithmetic only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec

Cell = tuple[int, ...]


class ShardPart(NamedTuple):
    """The tiles of a plane that are in the same shard."""

    yx: tuple[int, int]  # the coordinate of the shard along y and x
    tiles: tuple[int, ...]  # numbers of the tiles, row by row over the plane
    # for each tile, the number of its chunk within a plane of chunks of the shard
    inner: tuple[int, ...]


class Grid:
    """The chunk grid of one array, for planes that arrive one at a time.

    All chunks of a plane have the same coordinate along the index axes, its *cell*. The chunks of a cell form a
    *column*, an array of shape (tiles, depth, chunk y, chunk x), with a *slot* for each of its `depth` planes.
    """

    def __init__(self, level: LevelSpec) -> None:
        *chunk, cy, cx = level.chunks
        *shard, sy, sx = level.shards or level.chunks
        y, x = level.frame_shape
        self.dtype = level.numpy_dtype
        self.sharded = level.shards is not None
        self.chunk = tuple(chunk)
        self.tile = (cy, cx)
        self.tiles = (math.ceil(y / cy), math.ceil(x / cx))
        self.depth = math.prod(chunk)
        self.column_shape = (math.prod(self.tiles), self.depth, cy, cx)
        self.chunk_bytes = self.depth * cy * cx * level.numpy_dtype.itemsize
        self.column_bytes = self.column_shape[0] * self.chunk_bytes
        # whether each plane is exactly one chunk
        self.one_chunk_per_plane = self.depth == math.prod(self.tiles) == 1 and (cy, cx) == (y, x)
        # whether chunks extend beyond the planes
        self.padded = self.tiles[0] * cy != y or self.tiles[1] * cx != x
        self.frame_shape = (y, x)
        self.frame_bytes = y * x * level.numpy_dtype.itemsize
        # size of the complete array; infinite if it has an unbounded axis
        self.nbytes = (
            math.inf
            if level.growing is not None
            else math.prod(level.shape) * level.numpy_dtype.itemsize
        )
        self._bounds = tuple(
            None if i == level.growing else n for i, n in enumerate(level.index_shape)
        )
        self.shard_shape = tuple(s // c for s, c in zip(shard, chunk, strict=True))  # in chunks
        self._shard_yx = (sy // cy, sx // cx)
        self.plane_chunks = math.prod(self._shard_yx)
        self.shard_planes = math.prod(self.shard_shape)  # of chunks
        self.shard_chunks = self.shard_planes * self.plane_chunks
        self.parts = self._shard_parts()

    def split(self, index: tuple[int, ...]) -> tuple[Cell, int]:
        """Return the cell of a plane, and its slot in the column of the cell."""
        if self.depth == 1:
            return index, 0
        return _divmod_index(index, self.chunk)

    def planes_in(self, cell: Cell) -> int:
        """Return the number of planes of a complete array in `cell`: less than `depth` at an edge."""
        return math.prod(
            c if bound is None else min(c, bound - i * c)
            for i, c, bound in zip(cell, self.chunk, self._bounds, strict=True)
        )

    def shard(self, cell: Cell) -> tuple[Cell, int]:
        """Return the shard of `cell` (index axes only), and the number of its plane of chunks within the shard."""
        if len(cell) == 1:  # a long time-lapse, which has the least time per frame
            quotient, plane = divmod(cell[0], self.shard_shape[0])
            return (quotient,), plane
        return _divmod_index(cell, self.shard_shape)

    def chunks_in(self, shard: Cell, part: ShardPart) -> int:
        """Return the number of chunks of a shard that are inside the array."""
        cells = 1
        for i, s, c, bound in zip(shard, self.shard_shape, self.chunk, self._bounds, strict=True):
            cells *= s if bound is None else min(s, math.ceil(bound / c) - i * s)
        return cells * len(part.tiles)

    def insert_plane(
        self, frame: NDArray[np.generic], column: NDArray[np.generic], slot: int
    ) -> None:
        """Copy a plane (y, x), tile by tile, into its slot of a column, with zeros beyond the plane."""
        if len(column) == 1 and not self.padded:
            np.copyto(column[0, slot], frame)
            return
        ty, tx = self.tiles
        cy, cx = self.tile
        if not self.padded and frame.flags.c_contiguous:
            tiles = frame.reshape(ty, cy, tx, cx).swapaxes(1, 2)
            np.copyto(column[:, slot].reshape(ty, tx, cy, cx), tiles)
            return
        for number in range(ty * tx):
            part = frame[self._window(number)]
            height, width = part.shape
            tile = column[number, slot]
            tile[:height, :width] = part
            if height < cy:
                tile[height:] = 0
            if width < cx:
                tile[:height, width:] = 0

    def extract_chunk(self, column: NDArray[np.generic], tile: int) -> NDArray[np.generic]:
        """Return a chunk of a column or plane (y, x). A tile of a plane is a copy, with zeros beyond the plane."""
        chunk: NDArray[np.generic] = column if column.ndim == 2 else column[tile]
        if column.ndim == 2 and not self.one_chunk_per_plane:
            part = column[self._window(tile)]
            chunk = (np.zeros if self.padded else np.empty)(self.tile, self.dtype)
            chunk[: part.shape[0], : part.shape[1]] = part
        return chunk

    def extract_plane(self, column: NDArray[np.generic], slot: int) -> NDArray[np.generic]:
        """Return a copy of the plane (y, x) in a slot of a column, or of a plane."""
        if column.ndim == 2:
            plane: NDArray[np.generic] = column.copy()
            return plane
        frame = np.empty(self.frame_shape, self.dtype)
        for number in range(len(column)):
            part = frame[self._window(number)]
            part[...] = column[number, slot, : part.shape[0], : part.shape[1]]
        return frame

    def _window(self, tile: int) -> tuple[slice, slice]:
        row, col = divmod(tile, self.tiles[1])
        cy, cx = self.tile
        return slice(row * cy, (row + 1) * cy), slice(col * cx, (col + 1) * cx)

    def _shard_parts(self) -> tuple[ShardPart, ...]:
        parts: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        sy, sx = self._shard_yx
        for tile in range(math.prod(self.tiles)):
            row, col = divmod(tile, self.tiles[1])
            tiles, inner = parts.setdefault((row // sy, col // sx), ([], []))
            tiles.append(tile)
            inner.append((row % sy) * sx + col % sx)
        return tuple(ShardPart(yx, tuple(t), tuple(i)) for yx, (t, i) in parts.items())


def _divmod_index(index: Cell, extents: Cell) -> tuple[Cell, int]:
    """Return the box of `extents` that contains an index, and the index within the box as a number in C order."""
    outer = []
    number = 0
    for i, extent in zip(index, extents, strict=True):
        quotient, remainder = divmod(i, extent)
        outer.append(quotient)
        number = number * extent + remainder
    return tuple(outer), number
