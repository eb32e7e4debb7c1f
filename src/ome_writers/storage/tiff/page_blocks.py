"""Frames of adjacent pages, gathered in memory to be written at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.write_buffer import Sink, Unit

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.storage.tiff.geometry import Series


class FileSink(Sink, Protocol):
    """What a block needs of its file, see `PageStore`."""

    path: Path


class PageBlock(Unit):
    """Frames for adjacent pages of one series, on their way to disk; see `write_buffer.Unit`.

    `group` is the number of a resolution level of a file.
    """

    def __init__(
        self,
        group: int,
        page: int,
        series: Series,
        capacity: int,
        sink: FileSink,
        *,
        by_reference: bool = False,
    ) -> None:
        serial_key = None if series.compressed else sink.path
        super().__init__(group, sink, serial_key, by_reference=by_reference)
        self.page = page  # number of the first page in the file
        self.series = series
        self.capacity = capacity  # pages
        self.count = 0  # filled pages
        # views of the buffer: the planes of all pages, or of each strip if there are gaps between strips
        self._planes: NDArray[np.generic] | None = None
        self._strips: list[tuple[slice, NDArray[np.generic]]] = []
        self._tiles: NDArray[np.generic] | None = None  # see `TileGrid.views`
        self._referenced: list[NDArray[np.generic]] = []  # the frames, if they are not copied

    @property
    def key(self) -> tuple[int, int]:
        """The group, and the next page."""
        return self.group, self.page + self.count

    @property
    def nbytes(self) -> int:
        return self.count * self.series.plane_bytes

    def addresses(self) -> range:
        return range(self.page, self.page + self.count)

    def use_buffer(self, buffer: NDArray[np.uint8]) -> None:
        """Copy frames into `buffer`, which has the size of `capacity` stored planes."""
        kind = self.series.kind
        stride = len(buffer) // self.capacity
        self._buffers = [buffer]
        inner = [kind.dtype.itemsize]
        for extent in reversed(kind.shape[1:]):
            inner.insert(0, inner[0] * extent)
        compressed = self.series.compressed
        if (
            kind.gap and not compressed
        ):  # the buffer has the content of earlier frames, or of freed memory
            first, *others = self.series.strip_starts
            size, step = self.series.strip_bytes[0], others[0] - first if others else 0
            gaps = (self.capacity, len(others), kind.gap)
            np.ndarray(gaps, np.uint8, buffer, size, (stride, step, 1))[...] = 0
        if self.series.packed is not None:
            self._tiles = self.series.packed.views(buffer, kind.dtype, kind.gap, stride)
            return
        strips = [(0, kind.shape[0])] if compressed else kind.strips
        for i, (top, bottom) in enumerate(strips):
            view: NDArray[np.generic] = np.ndarray(
                (self.capacity, bottom - top, *kind.shape[1:]),
                kind.dtype,
                buffer,
                0 if compressed else self.series.strip_starts[i],
                (stride, *inner),
            )
            self._strips.append((slice(top, bottom), view))
        if len(strips) == 1:
            self._planes = self._strips[0][1]

    def add(self, number: int, frame: NDArray[np.generic]) -> bool:
        """Copy the frame of the next page, or refer to it; return whether the block is full."""
        slot = self.count
        if self.by_reference:
            self._referenced.append(frame)
            self._reserved_bytes += frame.nbytes
        elif self._planes is not None:
            self._planes[slot] = frame
        elif self._tiles is not None and self.series.packed is not None:
            self.series.packed.pack(frame, self._tiles[slot])
        else:
            for rows, view in self._strips:
                view[slot] = frame[rows]
        self.frames.append(number)
        self.count = slot + 1
        return self.count >= self.capacity

    def buffers(self) -> list[memoryview | bytes]:
        """Return the bytes to write, planes and gaps, in file order."""
        if self._buffers:
            stride = len(self._buffers[0]) // self.capacity
            return [self._buffers[0].data[: self.count * stride]]
        buffers: list[memoryview | bytes] = []
        for frame in self._referenced:
            first, *others = self._strips_of(frame)
            buffers.append(first)
            for strip in others:
                buffers += [bytes(self.series.kind.gap), strip]
        return buffers

    def checksums(self) -> list[int]:
        """Return the checksum of each page, uncompressed; empty if the file does not contain checksums."""
        if not self.series.kind.checksum:
            return []
        from ome_writers.storage.tiff.checksums import checksum_of

        buffers, pages = self.buffers(), range(self.count)
        if len(buffers) > 1 or self.by_reference:  # the strips of each page, with gaps in between
            size = 2 * len(self.series.strip_bytes) - 1
            return [checksum_of(buffers[page * size : (page + 1) * size : 2]) for page in pages]
        (planes,), stride = buffers, len(buffers[0]) // self.count
        parts = list(zip(self.series.strip_starts, self.series.strip_bytes, strict=True))
        return [
            checksum_of(
                planes[page * stride + at : page * stride + at + size] for at, size in parts
            )
            for page in pages
        ]

    def strips(self) -> Iterable[memoryview]:
        """Return the bytes of each strip of the first page; those of a tile are valid until the next one."""
        frame = self._referenced[0] if self.by_reference else self._strips[0][1][0]
        if self.series.tiles is not None:
            tiles = self.series.tiles.split(frame)
            return (tile.reshape(-1).view(np.uint8).data for tile in tiles)
        return self._strips_of(frame)

    def _strips_of(self, frame: NDArray[np.generic]) -> list[memoryview]:
        flat = frame.reshape(-1).view(np.uint8).data
        row = self.series.kind.row_bytes
        return [flat[top * row : bottom * row] for top, bottom in self.series.kind.strips]

    def plane(  # pyright: ignore[reportIncompatibleMethodOverride] # each kind has its own address
        self, page: int
    ) -> NDArray[np.generic] | None:
        """Return a copy of the frame of a page; None if it is not in this block."""
        slot = page - self.page
        with self._memory_lock:
            if not 0 <= slot < self.count:
                return None
            if slot < len(self._referenced):
                copied: NDArray[np.generic] = self._referenced[slot].copy()
                return copied
            if self._tiles is not None and self.series.packed is not None:
                plane = np.empty(self.series.kind.shape, self.series.kind.dtype)
                self.series.packed.unpack(self._tiles[slot], plane)
                return plane
            if not self._strips:
                return None
            return np.concatenate([view[slot] for _, view in self._strips])

    def _drop_planes(self) -> None:
        self._referenced, self._planes, self._strips, self._tiles = [], None, [], None
