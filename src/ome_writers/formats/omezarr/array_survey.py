"""Survey the chunks of a Zarr array on disk: how far it was filled, and which files are damaged.

Independent of the engine that wrote the array. A chunk that can be decoded is never dropped.
"""

# Longer than 300 lines: listing, checking and surveying the chunks of one array.
from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.errors import MovedFileError
from ome_writers.formats.omezarr.shard_recovery import ShardRecovery
from ome_writers.formats.report import Finding
from ome_writers.formats.threads import map_in_threads
from ome_writers.storage.zarr import EMPTY, ChunkFile, Grid
from ome_writers.untrusted import is_link, locate, moved_files

if TYPE_CHECKING:
    from ome_writers.untrusted import MovedFile


@dataclass
class Survey:
    """How far an array was filled."""

    extent: int = 0  # filled extent along the requested axis; 0 if there are no chunks
    planes: int = 0  # approximate number of planes: exact if each chunk contains one
    # by channel number: (smallest, largest) value in a few of its chunks
    windows: dict[int, tuple[float, float]] = field(default_factory=dict)


class _Chunk(NamedTuple):
    """A stored chunk: its coordinate, its file and the recovered index of that if it is a shard, its stored size."""

    coordinate: tuple[int, ...]
    path: str
    entries: NDArray[np.uint64] | None
    size: int


class ChunkListing(NamedTuple):
    """The files below the folder ``c`` of an array."""

    chunks: list[
        tuple[tuple[int, ...], str, int]
    ]  # coordinate, path and size of chunk files or shards, sorted
    others: list[str]  # paths of entries that cannot be chunks, such as temporary files


def _only_file_size(path: str) -> int:
    """Return the size of a regular file to whose folder nothing was added after it; 0 for others."""
    try:
        status, folder = os.lstat(path), os.lstat(os.path.dirname(path))
    except OSError:
        return 0
    is_only = stat.S_ISREG(status.st_mode) and folder.st_mtime_ns <= status.st_mtime_ns
    return status.st_size if is_only else 0


def list_chunks(folder: Path, level: LevelSpec, *, quick: bool = False) -> ChunkListing:
    """List the chunk files or shards of an array; links are ignored.

    With `quick`, a folder in which the array can have one chunk only is not listed if that chunk exists, and was not
    being replaced. That saves most of the time if every plane is a file. A chunk of several planes is replaced at each
    flush, so that its folder is always listed.
    """
    outer = level.shards or level.chunks
    rank = len(outer)
    quick = quick and math.prod(outer[:-2]) == 1
    single = rank  # the first axis from which on all have a single chunk
    while quick and single and level.shape[single - 1] <= outer[single - 1]:
        single -= 1
        if single == level.growing:
            single += 1
            break
    found = ChunkListing([], [])
    zeros = (0,) * (rank - single)
    suffix = "/0" * len(zeros)

    def walk(path: str, parents: tuple[int, ...]) -> None:
        depth = len(parents) + 1
        with os.scandir(path) as entries:
            for entry in entries:
                name, at = entry.name, entry.path
                if not (name.isascii() and name.isdigit()):
                    found.others.append(at)
                    continue
                if entry.is_symlink() or (os.name == "nt" and is_link(at)):
                    continue
                if depth == rank:
                    if entry.is_file():
                        found.chunks.append(((*parents, int(name)), at, entry.stat().st_size))
                elif depth == single and (size := _only_file_size(file := at + suffix)):
                    found.chunks.append(((*parents, int(name), *zeros), file, size))
                elif entry.is_dir():
                    walk(at, (*parents, int(name)))

    top = folder / "c"
    if top.is_dir() and not is_link(top):
        walk(str(top), ())
    found.chunks.sort(key=itemgetter(0))  # many times faster than comparing all of each item
    return found


class ArraySurvey:
    """The chunks of one array on disk; `quick` is that of `list_chunks`."""

    def __init__(self, folder: Path, level: LevelSpec, *, quick: bool = False) -> None:
        self._root = folder.parents[level.key.count("/")] if level.key else folder
        self._folder, self._quick = folder, quick
        self._level = level
        self._grid = Grid(level)
        self._recovery = ShardRecovery(level)

    @cached_property
    def listing(self) -> ChunkListing:
        """The files of the array when they were first needed."""
        return list_chunks(self._folder, self._level, quick=self._quick)

    def recover(self, *, dry_run: bool, truncate: bool = True) -> Iterator[Finding]:
        """Bring all files into the state in which `close` leaves them; yield the problems found.

        Without `truncate`, valid shards may be longer than their data, as `close` leaves them for concurrent readers.
        """
        for coordinate, name, size in self.listing.chunks if self._grid.sharded else ():
            if size:
                yield from self._recovery.recover_shard(
                    coordinate, Path(name), dry_run=dry_run, truncate=truncate
                )
        empty = [name for _, name, size in self.listing.chunks if not size]
        for name in empty:
            if not dry_run:
                os.unlink(name)
            yield Finding(Path(name), "empty chunk file: removed")
        self.listing.chunks[:] = [file for file in self.listing.chunks if file[2]]

    def remove_outside(self, shape: Sequence[int], *, dry_run: bool) -> int:
        """Remove the chunks that are outside of an array with this shape, and return their number."""
        grid = [math.ceil(n / c) for n, c in zip(shape, self._level.chunks, strict=True)]

        def is_outside(chunk: Sequence[int]) -> bool:
            return any(i >= n for i, n in zip(chunk, grid, strict=True))

        count = 0
        for coordinate, name, _ in self.listing.chunks:
            if not self._grid.sharded:
                if is_outside(coordinate):
                    count += 1
                    if not dry_run:
                        os.unlink(name)
                continue
            index = self._recovery.read_index(Path(name), coordinate)
            if index is None or index.damaged:  # its damaged entries must not become missing chunks
                continue
            numbers = np.flatnonzero(index.entries[:, 0] != EMPTY)
            chunks = self._recovery.chunk_coordinates(coordinate, numbers)
            outside = [n for n, at in zip(numbers.tolist(), chunks, strict=True) if is_outside(at)]
            count += len(outside)
            if outside and not dry_run:
                self._recovery.remove_chunks(Path(name), coordinate, outside)
        return count

    def check(self, chunks: tuple[int, ...] | None) -> Iterator[Finding]:
        """Yield chunks and shards that cannot be read, or are outside an array with `chunks` chunks per axis.

        Chunks are compared with their checksum, or decoded if they have only a compression; of others the size is
        checked. Planes outside the array with missing chunks are ignored: they were written after the last flush.
        """
        for coordinate, name, _ in self.listing.chunks if self._grid.sharded else ():
            path = Path(name)
            index = self._recovery.read_index(path, coordinate)
            # while it is written, the writer may be replacing the index
            if index is None or (index.torn and chunks):
                planes = describe_planes(coordinate, self._level.shards or (), self._level.shape)
                what = "without a readable index" if index is None else "with a damaged index"
                yield Finding(path, f"{planes}: shard {what}", solved=False)
            for number in index.damaged if index else ():
                (at,) = self._recovery.chunk_coordinates(coordinate, number)
                name, planes = "/".join(map(str, at)), self._describe(at)
                what = f"{planes}, chunk {name}: its index entry is damaged"
                yield Finding(path, what, solved=False)
        unreadable: set[str] = set()
        for coordinate, _ in self._moved_files():
            path = self._folder.joinpath("c", *map(str, coordinate))
            try:
                with locate(self._root, path.relative_to(self._root).as_posix()).open_range():
                    pass
            except MovedFileError as error:
                unreadable.add(str(path))
                yield Finding(path, str(error), solved=False)
        complete: set[tuple[int, ...]] | None = None
        for chunk, problem in self._problems(unreadable):
            name = "/".join(map(str, chunk.coordinate))
            planes = self._describe(chunk.coordinate)
            if chunks and any(i >= n for i, n in zip(chunk.coordinate, chunks, strict=True)):
                complete = self.complete_cells() if complete is None else complete
                if chunk.coordinate[:-2] in complete:
                    what = f"chunk {name} is outside the array"
                    yield Finding(Path(chunk.path), what, solved=False)
            elif problem:
                yield Finding(Path(chunk.path), f"{planes}, chunk {name}: {problem}", solved=False)

    def survey(self, axis: int | None, channel: int | None, *, complete: bool) -> Survey:
        """Return how far the array was filled along `axis`, and the value ranges along axis `channel`.

        With `complete`, planes count only if they have all of their chunks: after the last flush some may be missing.
        """
        found = Survey()
        edge: list[list[_Chunk]] = []
        samples: dict[int, list[_Chunk]] = {}
        for cell in self._cells(complete=complete):
            at = cell[0].coordinate
            if axis is not None:
                if edge and at[axis] > edge[0][0].coordinate[axis]:
                    edge.clear()
                if not edge or at[axis] == edge[0][0].coordinate[axis]:
                    edge.append(cell)
            found.planes += 1 if self._grid.depth == 1 else self._grid.planes_in(at[:-2])
            sample = samples.setdefault(0 if channel is None else at[channel], [])
            sample[1:] = cell[:1]  # the first chunk, and the last one so far
        if edge and axis is not None:
            extent = self._level.chunks[axis]
            depths = [self._depth(cell, axis) if extent > 1 else 1 for cell in edge]
            found.extent = edge[0][0].coordinate[axis] * extent + max(depths)
            for cell, depth in zip(edge, depths, strict=True):  # counted as full above
                missing = max(0, extent - depth) * self._grid.planes_in(cell[0].coordinate[:-2])
                found.planes -= missing // extent
        for chunks in samples.values():
            for chunk in chunks:
                self._extend_windows(chunk, channel, found.windows)
        return found

    def complete_cells(self) -> set[tuple[int, ...]]:
        """Return the coordinates, without y and x, of the cells that have all of their chunks."""
        return {cell[0].coordinate[:-2] for cell in self._cells(complete=True)}

    def _cells(self, *, complete: bool) -> Iterator[list[_Chunk]]:
        """Yield the chunks of each cell: those that contain the same planes."""
        tiles = math.prod(self._grid.tiles)
        parts: dict[tuple[int, ...], list[_Chunk]] = {}
        for chunk in self._chunks():
            cell = parts.setdefault(chunk.coordinate[:-2], [])
            cell.append(chunk)
            if len(cell) == tiles:
                yield parts.pop(chunk.coordinate[:-2])
        if not complete:
            yield from parts.values()

    def _chunks(self) -> Iterator[_Chunk]:
        """Yield all chunks that can be found."""
        for coordinate, name, size in self.listing.chunks:
            if not self._grid.sharded:
                if size:
                    yield _Chunk(coordinate, name, None, size)
                continue
            index = self._recovery.read_index(Path(name), coordinate)
            if index is None:
                continue
            numbers = np.flatnonzero(index.entries[:, 0] != EMPTY)
            sizes = index.entries[numbers, 1].tolist()
            for at, size in zip(
                self._recovery.chunk_coordinates(coordinate, numbers), sizes, strict=True
            ):
                yield _Chunk(at, name, index.entries, size)
        for coordinate, file in self._moved_files():
            name = str(self._folder.joinpath("c", *map(str, coordinate)))
            if not self._grid.sharded:
                yield _Chunk(coordinate, name, None, file.size)
                continue
            entries = self._recovery.decode_index(file.shard_index)
            numbers = np.flatnonzero(entries[:, 0] != EMPTY)
            for at, number in zip(
                self._recovery.chunk_coordinates(coordinate, numbers), numbers.tolist(), strict=True
            ):
                yield _Chunk(at, name, entries, int(entries[number, 1]))

    def _moved_files(self) -> Iterator[tuple[tuple[int, ...], MovedFile]]:
        """Yield coordinate and properties of the chunk files or shards that a mirror has moved."""
        if (moved := moved_files(self._root)) is not None:
            yield from moved.chunks(self._level.key, len(self._level.chunks))

    def _describe(self, chunk: tuple[int, ...]) -> str:
        return describe_planes(chunk, self._level.chunks, self._level.shape)

    def _problems(self, excluded: set[str]) -> Iterator[tuple[_Chunk, str]]:
        """Yield each chunk that is not in excluded files, with the result of `_problem`; read by several threads."""
        chunks = (chunk for chunk in self._chunks() if chunk.path not in excluded)
        if self._recovery.stored_as_is:
            yield from ((chunk, self._problem(chunk)) for chunk in chunks)
            return
        yield from map_in_threads(self._problem, chunks)

    def _problem(self, chunk: _Chunk) -> str:
        """Return why a chunk cannot be read; an empty string if it can."""
        if not self._recovery.is_possible_size(chunk.size):
            return f"cannot be decoded, it has {chunk.size} bytes"
        if self._recovery.stored_as_is:
            return ""
        try:
            if self._recovery.has_checksum:
                with self._open(chunk) as file:
                    file.verify(chunk.coordinate)
            else:
                self._load(chunk)
        except Exception as error:  # codecs raise various errors for invalid data
            return f"cannot be decoded: {error}"
        return ""

    def _load(self, chunk: _Chunk) -> NDArray[np.generic]:
        """Return the pixels of a chunk; raise OSError, ValueError or an exception of its codecs."""
        with self._open(chunk) as file:
            stored = file.read(chunk.coordinate)
        return self._recovery.encoding.decode(stored or b"")

    @contextmanager
    def _open(self, chunk: _Chunk) -> Iterator[ChunkFile]:
        key = Path(chunk.path).relative_to(self._root).as_posix()
        with locate(self._root, key).open_range() as (file, (start, nbytes)):
            yield ChunkFile(self._recovery.encoding, file, nbytes, start, chunk.entries)

    def _load_if_valid(self, chunk: _Chunk) -> NDArray[np.generic] | None:
        try:
            return self._load(chunk)
        except Exception:
            return None

    def _depth(self, cell: list[_Chunk], axis: int) -> int:
        """Return how far the chunks of a cell are filled along `axis`: up to the last plane that is not all zeros."""
        depth = 0
        for chunk in cell:
            pixels = self._load_if_valid(chunk)
            if pixels is not None:
                filled = np.moveaxis(pixels, axis, 0).reshape(pixels.shape[axis], -1).any(axis=1)
                depth = max(depth, int(np.flatnonzero(filled).max(initial=-1)) + 1)
        return depth

    def _extend_windows(
        self, chunk: _Chunk, channel: int | None, windows: dict[int, tuple[float, float]]
    ) -> None:
        pixels = self._load_if_valid(chunk)
        if pixels is None:
            return
        height, width = self._level.frame_shape
        row, column = (
            i * n for i, n in zip(chunk.coordinate[-2:], self._level.chunks[-2:], strict=True)
        )
        pixels = pixels[..., : height - row, : width - column]
        channels = [pixels] if channel is None else list(np.moveaxis(pixels, channel, 0))
        first = 0 if channel is None else chunk.coordinate[channel] * self._level.chunks[channel]
        for number, pixels in enumerate(channels, start=first):
            values = np.abs(pixels) if pixels.dtype.kind == "c" else pixels
            if pixels.dtype.kind == "b":
                values = pixels.view(np.uint8)
            if values.dtype.kind == "f":
                values = values[np.isfinite(values)]
            if values.size:
                low, high = float(values.min()), float(values.max())
                known = windows.get(number, (low, high))
                windows[number] = (min(low, known[0]), max(high, known[1]))


def describe_planes(coordinate: Sequence[int], chunks: Sequence[int], shape: Sequence[int]) -> str:
    """Return which planes are in the chunk at `coordinate` along all axes: ``"index (3, 0:16)"``."""
    axes = zip(coordinate[:-2], chunks, shape, strict=False)
    spans = [(i * n, max(i * n + 1, min(i * n + n, extent))) for i, n, extent in axes]
    parts = [str(a) if b == a + 1 else f"{a}:{b}" for a, b in spans]
    return f"index ({', '.join(parts)}{',' * (len(parts) == 1)})"
