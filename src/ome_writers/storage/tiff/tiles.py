"""Planes as tiles of equal size; those at the right and bottom edge are padded with zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.tiff.ifd import PageKind

Plane = NDArray[np.generic]


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a plane (y, x) or (y, x, samples), row by row."""

    plane: tuple[int, ...]
    tile: tuple[int, ...]  # with samples, if the plane has them

    @classmethod
    def of(cls, kind: PageKind) -> TileGrid:
        """Return the tiles of the pages of a kind, which must have tiles."""
        assert kind.tile is not None
        return cls(kind.shape, (*kind.tile, *kind.shape[2:]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tiles along y and x."""
        rows, columns = (-(-n // m) for n, m in zip(self.plane[:2], self.tile[:2], strict=True))
        return rows, columns

    def views(
        self, buffer: NDArray[np.uint8], dtype: np.dtype[np.generic], gap: int, stride: int
    ) -> Plane:
        """Return stored planes in `buffer`, `stride` bytes apart, as an array: plane, row, column, (y, x) of a tile.

        `gap` is the number of bytes between tiles.
        """
        inner = [dtype.itemsize]
        for extent in reversed(self.tile):
            inner.insert(0, inner[0] * extent)
        rows, columns = self.shape
        step = inner.pop(0) + gap
        tiles: Plane = np.ndarray(
            (len(buffer) // stride, rows, columns, *self.tile),
            dtype,
            buffer,
            0,
            (stride, columns * step, step, *inner),
        )
        return tiles

    def pack(self, plane: Plane, tiles: Plane) -> None:
        """Copy a plane to `tiles`, shape (row, column, y, x) or (row, column, y, x, samples)."""
        (rows, columns), (height, width) = self.shape, self.tile[:2]
        right, bottom = self.plane[1] - (columns - 1) * width, self.plane[0] - (rows - 1) * height
        if right < width:
            tiles[:, -1, :, right:] = 0
        if bottom < height:
            tiles[-1, :, bottom:] = 0
        for part, of_plane in self._parts(tiles, plane):
            part[...] = of_plane

    def unpack(self, tiles: Plane, plane: Plane) -> None:
        """Copy `tiles`, see `pack`, to a plane."""
        for part, of_plane in self._parts(tiles, plane):
            of_plane[...] = part

    def split(self, plane: Plane) -> Iterator[Plane]:
        """Yield the tiles one by one, each contiguous, valid until the next one."""
        (rows, columns), (height, width) = self.shape, self.tile[:2]
        tile = np.zeros(self.tile, plane.dtype)
        for row in range(rows):
            for column in range(columns):
                part = plane[
                    row * height : (row + 1) * height, column * width : (column + 1) * width
                ]
                if part.shape != tile.shape:
                    tile[...] = 0
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile

    def join(self, tiles: Iterator[bytes], plane: Plane) -> None:
        """Copy the bytes of tiles to a plane; a tile that ends early is zero after its end."""
        (_, columns), (height, width) = self.shape, self.tile[:2]
        nbytes = int(np.prod(self.tile)) * plane.dtype.itemsize
        for number, content in enumerate(tiles):
            row, column = divmod(number, columns)
            tile = np.zeros(nbytes, np.uint8)
            found = np.frombuffer(content, np.uint8)[:nbytes]
            tile[: len(found)] = found
            part = plane[row * height : (row + 1) * height, column * width : (column + 1) * width]
            part[...] = tile.view(plane.dtype).reshape(self.tile)[: part.shape[0], : part.shape[1]]

    def _parts(self, tiles: Plane, plane: Plane) -> Iterator[tuple[Plane, Plane]]:
        """Yield views of the same pixels in `tiles` and `plane`: of whole tiles, and of those at the edges."""
        (height, width), rest = self.tile[:2], self.tile[2:]
        for y, rows, h in self._spans(0):
            for x, columns, w in self._spans(1):
                part = tiles[y : y + rows, x : x + columns, :h, :w]
                top, left = y * height, x * width
                region = plane[top : top + rows * h, left : left + columns * w]
                yield part.swapaxes(1, 2), region.reshape(rows, h, columns, w, *rest)

    def _spans(self, axis: int) -> Iterator[tuple[int, int, int]]:
        """Yield first tile, number of tiles, and their extent inside the plane, along y or x."""
        whole, last = divmod(self.plane[axis], self.tile[axis])
        if whole:
            yield 0, whole, self.tile[axis]
        if last:
            yield whole, 1, last
