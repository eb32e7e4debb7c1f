"""What a writer that died has left of a Zarr array: how far it came, and files that can be tidied.

Nothing here needs the engine that wrote. A chunk that can be read is never given up.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.storage.contract import Finding
from ome_writers.storage.zarr.chunk_grid import Grid
from ome_writers.storage.zarr.recovery import ShardRecovery
from ome_writers.storage.zarr.shard_index import EMPTY
from ome_writers.untrusted import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan

__all__ = ["ArraySurvey", "Survey"]


@dataclass
class Survey:
    """How far an array was filled.

    Attributes
    ----------
    extent
        Extent of what is there, along the axis that was asked for; 0 when nothing is.
    planes
        About how many planes there are: exact where a chunk holds one.
    windows
        Channel number to the (smallest, largest) value in a few of its chunks.
    """

    extent: int = 0
    planes: int = 0
    windows: dict[int, tuple[float, float]] = field(default_factory=dict)


class _Chunk(NamedTuple):
    """A stored chunk: its coordinate, and where its bytes are."""

    at: tuple[int, ...]
    path: Path
    offset: int
    size: int


class ArraySurvey:
    """The chunks of one array that are on disk.

    Parameters
    ----------
    folder
        The array's node in the hierarchy.
    plan
        What it was to become.
    """

    def __init__(self, folder: Path, plan: ArrayPlan) -> None:
        self._folder = folder / "c"
        self._plan = plan
        self._grid = Grid(plan)
        self._shards = ShardRecovery(plan)

    def recover(self, *, dry_run: bool, cut: bool = True) -> Iterator[Finding]:
        """Bring all files into the form that they would have after `close`; yield what was found.

        Without `cut` shards may be longer than their data: `close` leaves them so where readers may still be.
        """
        for coordinate, path in self._files():
            if not path.stat().st_size:
                if not dry_run:
                    path.unlink()
                yield Finding(path, "an empty file in the place of a chunk: removed")
            elif self._grid.sharded:
                yield from self._shards.recover_shard(coordinate, path, dry_run=dry_run, cut=cut)

    def check(self, chunks: tuple[int, ...] | None) -> Iterator[Finding]:
        """Yield chunks and shards that cannot be read, or lie outside of an array of `chunks` chunks an axis.

        Compressed chunks are decoded; those that are not have the right size, or have not. What lies outside and is
        not there in all its parts is no frame: it came behind the last flush.
        """
        for coordinate, path in self._files():
            if self._grid.sharded and self._shards.read_index(path, coordinate) is None:
                yield Finding(path, "a shard without a readable index", solved=False)
        filled: set[tuple[int, ...]] | None = None
        for chunk in self._chunks():
            name = "/".join(map(str, chunk.at))
            if chunks and any(at >= n for at, n in zip(chunk.at, chunks, strict=True)):
                filled = self.complete_cells() if filled is None else filled
                if chunk.at[:-2] in filled:
                    what = f"chunk {name} lies outside of the array"
                    yield Finding(chunk.path, what, solved=False)
            elif not self._shards.sound(chunk.size) or (
                self._plan.compression != "none" and self._load(chunk) is None
            ):
                yield Finding(chunk.path, f"chunk {name} cannot be decoded", solved=False)

    def survey(self, axis: int | None, channel: int | None, *, whole: bool) -> Survey:
        """Return how far the array was filled along `axis`, and what its channels hold.

        With `whole` planes count only when all of their chunks are there: what is beyond the last flush may be parts.
        """
        found = Survey()
        edge: list[list[_Chunk]] = []
        samples: dict[int, list[_Chunk]] = {}
        for cell in self._cells(whole=whole):
            at = cell[0].at
            if axis is not None:
                if edge and at[axis] > edge[0][0].at[axis]:
                    edge.clear()
                if not edge or at[axis] == edge[0][0].at[axis]:
                    edge.append(cell)
            found.planes += self._grid.planes(at[:-2])
            some = samples.setdefault(0 if channel is None else at[channel], [])
            some[1:] = cell[:1]  # the first, and the last so far
        if edge and axis is not None:
            extent = self._plan.chunks[axis]
            depths = [self._depth(cell, axis) if extent > 1 else 1 for cell in edge]
            found.extent = edge[0][0].at[axis] * extent + max(depths)
            for cell, depth in zip(edge, depths, strict=True):  # counted as full above
                missing = max(0, extent - depth) * self._grid.planes(cell[0].at[:-2])
                found.planes -= missing // extent
        for chunks in samples.values():
            for chunk in chunks:
                self._look(chunk, channel, found.windows)
        return found

    def complete_cells(self) -> set[tuple[int, ...]]:
        """Return the coordinates (without y and x) of the chunks that are there in all their parts."""
        return {cell[0].at[:-2] for cell in self._cells(whole=True)}

    def _cells(self, *, whole: bool) -> Iterator[list[_Chunk]]:
        """Iterate over the chunks that hold the same planes, side by side in y and x."""
        tiles = math.prod(self._grid.tiles)
        parts: dict[tuple[int, ...], list[_Chunk]] = {}
        for chunk in self._chunks():
            cell = parts.setdefault(chunk.at[:-2], [])
            cell.append(chunk)
            if len(cell) == tiles:
                yield parts.pop(chunk.at[:-2])
        if not whole:
            yield from parts.values()

    def _files(self) -> Iterator[tuple[tuple[int, ...], Path]]:
        """Iterate over the chunk files (or shards) and their coordinates; links are passed over."""

        def walk(folder: Path, above: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Path]]:
            numbers = sorted(int(e.name) for e in os.scandir(folder) if _is_number(e))
            for number in numbers:
                path, coordinate = folder / str(number), (*above, number)
                if len(coordinate) < len(self._plan.chunks):
                    if path.is_dir():
                        yield from walk(path, coordinate)
                elif path.is_file():
                    yield coordinate, path

        if self._folder.is_dir() and not self._folder.is_symlink():
            yield from walk(self._folder, ())

    def _chunks(self) -> Iterator[_Chunk]:
        """Iterate over all chunks that can be found."""
        for coordinate, path in self._files():
            if not self._grid.sharded:
                size = path.stat().st_size
                if size:
                    yield _Chunk(coordinate, path, 0, size)
                continue
            index = self._shards.read_index(path, coordinate)
            if index is None:
                continue
            for number in np.flatnonzero(index.entries[:, 0] != EMPTY).tolist():
                inner = np.unravel_index(number, self._shards.chunks)
                at = tuple(
                    c * n + int(i)
                    for c, n, i in zip(coordinate, self._shards.chunks, inner, strict=True)
                )
                yield _Chunk(at, path, *index.entries[number].tolist())

    def _load(self, chunk: _Chunk) -> NDArray[np.generic] | None:
        """Return a chunk's pixels; None when it cannot be decoded."""
        with open(open_regular(chunk.path), "rb") as file:
            file.seek(chunk.offset)
            return self._shards.decoded(file.read(chunk.size))

    def _depth(self, cell: list[_Chunk], axis: int) -> int:
        """Return how far chunks of several planes are filled along `axis`: to the last that is not all zero."""
        depth = 0
        for chunk in cell:
            pixels = self._load(chunk)
            if pixels is not None:
                filled = np.moveaxis(pixels, axis, 0).reshape(pixels.shape[axis], -1).any(axis=1)
                depth = max(depth, int(np.flatnonzero(filled).max(initial=-1)) + 1)
        return depth

    def _look(
        self, chunk: _Chunk, channel: int | None, windows: dict[int, tuple[float, float]]
    ) -> None:
        pixels = self._load(chunk)
        if pixels is None:
            return
        height, width = self._plan.frame_shape
        row, column = (i * n for i, n in zip(chunk.at[-2:], self._plan.chunks[-2:], strict=True))
        pixels = pixels[..., : height - row, : width - column]
        lanes = [pixels] if channel is None else list(np.moveaxis(pixels, channel, 0))
        first = 0 if channel is None else chunk.at[channel] * self._plan.chunks[channel]
        for number, lane in enumerate(lanes, start=first):
            values = np.abs(lane) if lane.dtype.kind == "c" else lane
            if lane.dtype.kind == "b":
                values = lane.view(np.uint8)
            values = values[np.isfinite(values)]
            if values.size:
                low, high = float(values.min()), float(values.max())
                seen = windows.get(number, (low, high))
                windows[number] = (min(low, seen[0]), max(high, seen[1]))


def _is_number(entry: os.DirEntry[str]) -> bool:
    return entry.name.isascii() and entry.name.isdigit() and not entry.is_symlink()
