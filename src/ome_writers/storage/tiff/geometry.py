"""Offsets of the IFDs and planes of a file: pure arithmetic.

Rows of pages (see `PageOrder`) are allocated in *segments*: first the IFDs of all pages, so that a reader follows the
chain without seeking across pixels, then the planes, if uncompressed. Between the two are the IFDs, then the planes, of
resolution levels, so that the file can be cut after any plane of full resolution.

The first segment is preceded by the *blank plane*, which is never written. All pages reference it until their own
pixels are on disk. So a page is blank if its strips precede the second IFD of the file. Blank pages with tiles share
tables (see `ifd_template`), which follow the blank plane; all tiles of a blank page are the same one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import mul
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.routing import PageOrder
from ome_writers.storage.tiff.ifd import PageKind, aligned
from ome_writers.storage.tiff.ifd_template import IfdTemplate

if TYPE_CHECKING:
    from ome_writers.storage.tiff.tiles import TileGrid

_SECTOR_BYTES = 512  # the unit that a disk writes atomically when the power fails
_MAX_SEGMENT_BYTES = 64 * 2**20  # of planes, allocated in advance
_MIN_SEGMENT_ROWS, _MAX_SEGMENT_ROWS = 16, 8192  # in between, each segment doubles the file


class Series:
    """The pages of one array in its file."""

    def __init__(self, level: LevelSpec, kind: PageKind, order: PageOrder, number: int) -> None:
        self.kind = kind
        self.number = number  # of its array of full resolution in the file
        self.template = IfdTemplate(self.kind)
        self.growing = level.growing
        self.first = order.firsts[number]  # number of its first page within a row
        self.count = order.counts[number]  # pages per row
        self.steps = order.steps[number]
        self.base = 0  # offset of its first plane from the start of a row's planes
        self.compressed = self.kind.compression != "none"
        self.stride = 0 if self.compressed else self.kind.stored_bytes
        self.strip_bytes = self.kind.strip_bytes
        starts = itertools.accumulate((n + self.kind.gap for n in self.strip_bytes), initial=0)
        self.strip_starts = list(starts)[:-1]
        self.is_tiled = self.kind.tile is not None
        # the tiles, and those that a frame is copied to before it is written: without compression
        self.tiles: TileGrid | None = None
        self.packed: TileGrid | None = None
        if self.is_tiled:
            from ome_writers.storage.tiff.tiles import TileGrid

            self.tiles = TileGrid.of(self.kind)
            self.packed = None if self.compressed else self.tiles
        self.plane_bytes = kind.shape[0] * kind.row_bytes
        # size of the zeros that blank pages reference
        self.blank_bytes = min(self.stride, self.strip_bytes[0]) if self.is_tiled else self.stride
        self.tables_at = 0  # offset of the tables of blank pages from the start of the blank plane

    @cached_property
    def blank_checksum(self) -> int:
        """The checksum of a page of zeros, which all pages are before they are written; 0 without checksums."""
        if not self.kind.checksum:
            return 0
        from ome_writers.storage.tiff.checksums import blank_checksum

        return blank_checksum(self.kind)

    def page(self, index: Sequence[int]) -> int:
        """Return the page number in the file of a storage index."""
        if len(index) == 1:
            return self.first + index[0] * self.steps[0]
        page: int = sum(map(mul, index, self.steps), self.first)
        return page


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of pages."""

    first_row: int
    rows: int
    ifds: int  # offset of the first IFD
    blank_plane: int  # offset of the file's blank plane
    planes: int  # offset of the first plane
    end: int
    levels: tuple[Segment, ...] = ()  # the same rows of each resolution level


class Geometry:
    """All offsets of one file, or of a resolution level of its pages. A page has the same number at all levels."""

    def __init__(
        self,
        series: Sequence[Series],
        order: PageOrder,
        alignment: int,
        levels: Sequence[Geometry] = (),
    ) -> None:
        self.series = list(series)  # the arrays in the file; of a level, those that have it
        self.levels = list(levels)  # the resolution levels, largest first; none of a level
        self.grows, self.pages_per_row = order.grows, order.pages_per_row
        self.pages_within = order.pages_within
        self.row_bytes = 0  # size of the uncompressed planes of a row
        for each in series:
            each.base = self.row_bytes
            self.row_bytes += each.count * each.stride
        # size of the blank plane, and of the shared tables that follow it
        every = [s for geometry in (self, *self.levels) for s in geometry.series]
        self._blank_bytes = max(s.blank_bytes for s in every)
        for each in every:
            if each.is_tiled:
                each.tables_at = aligned(self._blank_bytes)
                self._blank_bytes = each.tables_at + 16 * len(each.strip_bytes)
        self._alignment = alignment
        self.ifd_stride = aligned(max(s.template.nbytes for s in series), alignment)
        self.segments: list[Segment] = []
        self._firsts = np.array([s.first for s in series])

    @classmethod
    def of(
        cls,
        arrays: Sequence[LevelSpec],
        levels: Sequence[Sequence[LevelSpec]],
        *,
        contiguous: bool,
        durable: bool,
    ) -> Geometry:
        """Return the offsets of a file.

        Parameters
        ----------
        arrays, levels
            The arrays in the file, and the resolution levels of each.
        contiguous
            Whether uncompressed pages are contiguous; see `PageKind.of`.
        durable
            Whether power loss must not tear the strip offsets, byte counts and checksum of an IFD. If these are more
            than one 8-byte number, each IFD then begins at a disk sector.
        """
        order = PageOrder(arrays)
        by_level: list[list[Series]] = [[] for _ in range(1 + max(map(len, levels)))]
        for number, (full, smaller) in enumerate(zip(arrays, levels, strict=True)):
            kind = PageKind.of(full, contiguous=contiguous, levels=len(smaller))
            by_level[0].append(Series(full, kind, order, number))
            for series, level in zip(by_level[1:], smaller, strict=False):
                kind = PageKind.of(level, contiguous=contiguous, full=full)
                series.append(Series(level, kind, order, number))
        tearable = any(
            s.compressed or s.kind.checksum or (len(s.strip_bytes) > 1 and not s.is_tiled)
            for part in by_level
            for s in part
        )
        alignment = _SECTOR_BYTES if durable and tearable else 8
        return cls(
            by_level[0], order, alignment, [cls(part, order, alignment) for part in by_level[1:]]
        )

    def without_segments(self) -> Geometry:
        """Return a copy for another file with the same kind of arrays."""
        twin = copy.copy(self)
        twin.segments = []
        twin.levels = [level.without_segments() for level in self.levels]
        return twin

    def append_segment(self, segment: Segment) -> None:
        for level, part in zip(self.levels, segment.levels, strict=True):
            level.append_segment(part)
        self.segments.append(segment)

    def clear_segments(self) -> None:
        for geometry in (self, *self.levels):
            geometry.segments.clear()

    @property
    def rows(self) -> int:
        """Number of allocated rows."""
        return self.segments[-1].first_row + self.segments[-1].rows if self.segments else 0

    def next_segment(
        self, offset: int, *, skip_first: bool = False, existing_rows: int = 0
    ) -> Segment:
        """Return the next segment, from `offset` on; the caller calls `append_segment` when it is on disk.

        With `skip_first`, the IFD of the first page is elsewhere. With `existing_rows` it has as many rows, and their
        planes are elsewhere.
        """
        rows = existing_rows or 1
        if self.grows and not existing_rows:
            row_bytes = self.row_bytes + sum(level.row_bytes for level in self.levels)
            per_row = row_bytes or self.ifd_stride * self.pages_per_row * 64
            max_rows = min(_MAX_SEGMENT_BYTES // max(1, per_row), _MAX_SEGMENT_ROWS)
            rows = max(1, min(max_rows, max(_MIN_SEGMENT_ROWS, self.rows)))
        if self.segments:
            blank_plane = self.segments[0].blank_plane
        else:
            blank_plane = aligned(offset, 16)
            offset = blank_plane + self._blank_bytes
        ifds = aligned(offset, self._alignment) - (self.ifd_stride if skip_first else 0)
        end = ifds + rows * self.pages_per_row * self.ifd_stride
        level_ifds = []
        for level in self.levels:
            level_ifds.append(end)
            end += rows * self.pages_per_row * level.ifd_stride
        parts = []
        for level, start in zip(self.levels, level_ifds, strict=True):
            planes = aligned(end, 16)
            end = planes + (0 if existing_rows else rows * level.row_bytes)
            parts.append(Segment(self.rows, rows, start, blank_plane, planes, end))
        planes = aligned(end, 16)
        end = planes + (0 if existing_rows else rows * self.row_bytes)
        return Segment(self.rows, rows, ifds, blank_plane, planes, end, tuple(parts))

    def segment_of(self, page: int) -> Segment:
        row = page // self.pages_per_row
        if len(self.segments) > 1:
            for segment in reversed(self.segments):
                if segment.first_row <= row:
                    return segment
        return self.segments[0]

    def pages_of_series(self, pages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of `pages` that exist at this level."""
        within = pages % self.pages_per_row
        ends = np.array([s.first + s.count for s in self.series])
        series = np.searchsorted(self._firsts, within, side="right") - 1
        exists: NDArray[np.int64] = pages[(series >= 0) & (within < ends[series])]
        return exists

    def series_of(self, page: int) -> Series:
        if len(self.series) == 1:
            return self.series[0]
        within = page % self.pages_per_row
        return self.series[int(np.searchsorted(self._firsts, within, side="right")) - 1]

    def ifd_offset(self, page: int) -> int:
        """Return the offset of a page's IFD; not valid for the file's first page at full resolution."""
        segment = self.segment_of(page)
        return segment.ifds + (page - segment.first_row * self.pages_per_row) * self.ifd_stride

    def plane_offset(self, page: int) -> int:
        """Return the offset of an uncompressed page's pixels."""
        segment, series = self.segment_of(page), self.series_of(page)
        row, within = divmod(page, self.pages_per_row)
        start = segment.planes + (row - segment.first_row) * self.row_bytes
        return start + series.base + (within - series.first) * series.stride

    def plane_offsets(
        self, segment: Segment, series: Series, pages: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the offsets of the pixels of uncompressed pages of one segment and series."""
        rows, within = np.divmod(pages, self.pages_per_row)
        start = segment.planes + (rows - segment.first_row) * self.row_bytes
        offsets: NDArray[np.int64] = start + series.base + (within - series.first) * series.stride
        return offsets

    def adjacent_pages(self, page: int) -> int:
        """Return how many pages from `page` on have adjacent planes of the same series."""
        if self.series[0].count == self.pages_per_row:
            segment = self.segment_of(page)
            return (segment.first_row + segment.rows) * self.pages_per_row - page
        series = self.series_of(page)
        return series.first + series.count - page % self.pages_per_row
