"""Encodes the start of a file, and the IFDs of its segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.tiff.ifd import HEADER, encode_zeros
from ome_writers.storage.tiff.ifd_template import IfdTemplate, ifds_per_batch

if TYPE_CHECKING:
    from ome_writers.storage.tiff.geometry import Geometry, Segment, Series

_MAX_CACHED_BYTES = 2**20  # of a first segment's IFDs, kept for other files with the same start


@dataclass(frozen=True)
class Head:
    """The start of a file, in file order."""

    start: bytes  # header and first IFD; the extent reserved for the ImageDescription follows
    blank_strips: bytes  # for compressed series, the encoded strips of blank planes
    segment: Segment
    ifds: list[tuple[int, bytes]] | None  # see `blank_ifds`; None if too large to cache


class IfdEncoder:
    """Encodes the IFDs of files that contain the same kind of arrays, at one resolution level."""

    def __init__(
        self, geometry: Geometry, full: IfdEncoder | None = None, *, origin: int = len(HEADER)
    ) -> None:
        self.geometry = geometry
        self._origin = origin  # offset of the first IFD
        # the IFD of the first page at full resolution
        self.first: IfdTemplate = (
            IfdTemplate(geometry.series[0].kind, first=True, software=_software())
            if full is None
            else full.first
        )
        # a compressed blank page references strips of zeros (or one tile), an uncompressed one the blank plane
        self._blank_strips = [
            [
                encode_zeros(series.kind.compression, nbytes)
                for nbytes in series.strip_bytes[: 1 if series.is_tiled else None]
            ]
            if series.compressed
            else None
            for series in geometry.series
        ]
        # whether it is a reduced resolution, whose IFDs are not chained
        self.is_level = full is not None
        self._blank_strips_at = origin + self.first.nbytes  # without the reserved extent
        if full is not None:
            self._blank_strips_at += sum(len(e.blank_strips()) for e in (full, *full.levels))
        self.levels: list[IfdEncoder] = []  # the encoders of the resolution levels; none of a level
        for level in geometry.levels:
            self.levels.append(IfdEncoder(level, self, origin=origin))
        self._heads: dict[int, Head] = {}

    def head(self, capacity: int) -> Head:
        """Return the start of a file that reserves `capacity` bytes for the ImageDescription."""
        if capacity not in self._heads:
            self._heads[capacity] = self.make_head(capacity)
        return self._heads[capacity]

    def blank_strips(self) -> bytes:
        """Return the encoded strips of the blank planes of compressed series."""
        return b"".join(strip for strips in self._blank_strips for strip in strips or ())

    def blank_ifds(self, segment: Segment, capacity: int) -> Iterator[tuple[int, bytes]]:
        """Yield offset and bytes of runs of IFDs: of all levels in a segment, without the first page of the file.

        All pages are blank. The tables that they share precede them in the first segment.
        """
        if not segment.first_row:
            yield from self._blank_tables(segment, capacity)
        at, skipped = segment.ifds, 0 if self.is_level or segment.first_row else 1
        for first_page, ifds in self._blank_runs(segment, capacity):
            skip = 0 if first_page else skipped * self.geometry.ifd_stride
            if len(ifds) > skip:
                yield at + first_page * self.geometry.ifd_stride + skip, ifds[skip:]
        for level, part in zip(self.levels, segment.levels, strict=True):
            yield from level.blank_ifds(part, capacity)

    def _blank_tables(self, segment: Segment, capacity: int) -> Iterator[tuple[int, bytes]]:
        """Yield offset and bytes of the tables of blank pages with tiles."""
        blanks = self._locate_blank_strips(segment, capacity)
        for series, (offsets, counts) in zip(self.geometry.series, blanks, strict=True):
            if series.is_tiled:
                tiles = len(series.strip_bytes)
                table = np.repeat([offsets[0], counts[0]], tiles).astype("<u8")
                yield segment.blank_plane + series.tables_at, table.tobytes()

    def _blank_runs(self, segment: Segment, capacity: int) -> Iterator[tuple[int, bytes]]:
        """Yield runs of IFDs, and the number of the first page of each within the segment."""
        per_row = self.geometry.pages_per_row
        batch = ifds_per_batch(self.geometry.ifd_stride)
        blanks = self._locate_blank_strips(segment, capacity)
        first = segment.first_row * per_row
        if segment.rows == 1:
            for series, blank in zip(self.geometry.series, blanks, strict=True):
                for begin in range(0, series.count, batch):
                    within = np.arange(begin, min(begin + batch, series.count))
                    pages = first + series.first + within
                    ifds = self._encode(segment, series, pages, *blank)
                    yield series.first + begin, ifds.tobytes()
            return
        step = max(1, batch // per_row)
        stop = segment.first_row + segment.rows
        for begin in range(segment.first_row, stop, step):
            rows = np.arange(begin, min(begin + step, stop))[:, None] * per_row
            out = np.empty((len(rows), per_row, self.geometry.ifd_stride), np.uint8)
            for series, blank in zip(self.geometry.series, blanks, strict=True):
                pages = (rows + series.first + np.arange(series.count)).reshape(-1)
                ifds = self._encode(segment, series, pages, *blank)
                out[:, series.first : series.first + series.count] = ifds.reshape(
                    len(rows), series.count, -1
                )
            yield (begin - segment.first_row) * per_row, out.tobytes()

    def plane_ifds(
        self,
        segment: Segment,
        series: Series,
        pages: NDArray[np.int64],
        checksums: NDArray[np.uint32] | int,
    ) -> bytes:
        """Return IFDs, referencing the planes, of uncompressed pages of one segment and series."""
        strips, counts = self._plane_strips(segment, series, pages), series.strip_bytes
        return self._encode(segment, series, pages, strips, counts, checksums).tobytes()

    def _encode(
        self,
        segment: Segment,
        series: Series,
        pages: NDArray[np.int64],
        strip_offsets: NDArray[np.int64] | list[int],
        strip_bytes: Sequence[int],
        checksums: NDArray[np.uint32] | int | None = None,
    ) -> NDArray[np.uint8]:
        """Return IFDs of one series, shape (pages, bytes), each chained to the next of the segment.

        Without `checksums` they are those of blank pages.
        """
        stride = self.geometry.ifd_stride
        first = segment.first_row * self.geometry.pages_per_row
        offsets = segment.ifds + (pages - first) * stride
        last = first + segment.rows * self.geometry.pages_per_row - 1
        following = np.where((pages < last) & (not self.is_level), offsets + stride, 0)
        template, tiles = series.template, None
        if series.is_tiled:
            strip_offsets, strip_bytes = self._tables(segment, series)
            if not series.compressed:
                tiles = self._plane_strips(segment, series, pages)
            if checksums is not None:
                strip_offsets = (offsets + template.tables_at)[:, None]
        strips = np.broadcast_to(np.asarray(strip_offsets), (len(pages), len(strip_bytes)))
        levels = self._level_offsets(segment, series, pages)
        sums = series.blank_checksum if checksums is None else checksums
        return template.encode(offsets, following, strips, strip_bytes, stride, levels, tiles, sums)

    def _tables(self, segment: Segment, series: Series) -> tuple[list[int], list[int]]:
        """Return the offsets of the tables of blank pages with tiles: of tile offsets, and of byte counts."""
        at = segment.blank_plane + series.tables_at
        return [at], [at + 8 * len(series.strip_bytes)]

    def _plane_strips(
        self, segment: Segment, series: Series, pages: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the offsets of the strips of uncompressed pages, shape (pages, strips)."""
        planes = self.geometry.plane_offsets(segment, series, pages)
        strips: NDArray[np.int64] = planes[:, None] + np.array(series.strip_starts)
        return strips

    def _level_offsets(
        self, segment: Segment, series: Series, pages: NDArray[np.int64]
    ) -> list[NDArray[np.int64]]:
        """Return the offsets of the IFDs of each resolution level."""
        within = pages - segment.first_row * self.geometry.pages_per_row
        levels = zip(segment.levels, self.geometry.levels, strict=True)
        return [part.ifds + within * level.ifd_stride for part, level in levels][
            : series.kind.levels
        ]

    def _locate_blank_strips(
        self, segment: Segment, capacity: int
    ) -> list[tuple[list[int], list[int]]]:
        """Return strip offsets and byte counts of blank pages, per series."""
        located = []
        offset = self._blank_strips_at + capacity
        for series, strips in zip(self.geometry.series, self._blank_strips, strict=True):
            if strips is None:
                starts = [segment.blank_plane + start for start in series.strip_starts]
                located.append((starts, series.strip_bytes))
                continue
            counts = [len(s) for s in strips]
            located.append(([offset + sum(counts[:i]) for i in range(len(counts))], counts))
            offset += sum(counts)
        return located

    def make_head(self, capacity: int, existing_rows: int = 0) -> Head:
        """See `head`; with `existing_rows`, without the header, and with the IFDs of as many rows."""
        geometry = self.geometry.without_segments()
        blank_strips = b"".join(each.blank_strips() for each in (self, *self.levels))
        offset = self._blank_strips_at + capacity + len(blank_strips)
        segment = geometry.next_segment(offset, skip_first=True, existing_rows=existing_rows)
        geometry.append_segment(segment)
        pages = segment.rows * geometry.pages_per_row
        series, tiles = geometry.series[0], None
        strips, counts = self._locate_blank_strips(segment, capacity)[0]
        if series.is_tiled:
            strips, counts = self._tables(segment, series)
            if not series.compressed:
                tiles = self._plane_strips(segment, series, np.array([0]))
        following = geometry.ifd_offset(1) if pages > 1 else 0
        first = self.first.encode(
            np.array([self._origin]),
            np.array([following]),
            np.array([strips]),
            counts,
            level_offsets=self._level_offsets(segment, series, np.array([0])),
            tile_offsets=tiles,
            checksums=series.blank_checksum,
        )
        ifds = None
        if pages * geometry.ifd_stride <= _MAX_CACHED_BYTES:
            ifds = list(self.blank_ifds(segment, capacity))
        header = b"" if existing_rows else HEADER
        return Head(header + first.tobytes(), blank_strips, segment, ifds)


@cache
def _software() -> bytes:
    """Return the Software tag; looking up the version takes milliseconds."""
    return f"ome-writers {version('ome-writers')}".encode() + b"\0"
