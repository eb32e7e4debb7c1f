"""Encodes the start of a file, and the IFDs of its segments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.tiff.codec import encode_zeros
from ome_writers.storage.tiff.ifd import HEADER, IFDS_PER_BATCH, IfdTemplate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ome_writers.storage.tiff.geometry import Geometry, Segment, Series

_MAX_CACHED_BYTES = 2**20  # of a first segment's IFDs, kept for other files with the same start


@dataclass(frozen=True)
class Head:
    """The start of a file, in file order."""

    start: bytes  # header and first IFD; the extent reserved for the ImageDescription follows
    blank_strips: bytes  # for compressed series, the encoded strips of blank planes
    segment: Segment
    ifds: bytes | None  # of that segment without the first; None if too large to cache


class IfdEncoder:
    """Encodes the IFDs of files that contain the same kind of arrays."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.first = IfdTemplate(geometry.series[0].kind, first=True, software=_software())
        # a compressed blank page references strips of zeros, an uncompressed one the blank plane
        self._blank_strips = [
            [encode_zeros(series.kind.compression, nbytes) for nbytes in series.strip_bytes]
            if series.compressed
            else None
            for series in geometry.series
        ]
        self._heads: dict[int, Head] = {}

    def head(self, capacity: int) -> Head:
        """Return the start of a file that reserves `capacity` bytes for the ImageDescription."""
        if capacity not in self._heads:
            self._heads[capacity] = self._make_head(capacity)
        return self._heads[capacity]

    def blank_ifds(self, segment: Segment, capacity: int) -> Iterator[bytes]:
        """Yield the IFDs of a segment in file order, chained to each other; all pages are blank."""
        per_row = self.geometry.pages_per_row
        blanks = self._locate_blank_strips(segment, capacity)
        first = segment.first_row * per_row
        if segment.rows == 1:
            for series, blank in zip(self.geometry.series, blanks, strict=True):
                for begin in range(0, series.count, IFDS_PER_BATCH):
                    within = np.arange(begin, min(begin + IFDS_PER_BATCH, series.count))
                    pages = first + series.first + within
                    yield self._encode(segment, series, pages, *blank).tobytes()
            return
        step = max(1, IFDS_PER_BATCH // per_row)
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
            yield out.tobytes()

    def plane_ifds(self, segment: Segment, series: Series, pages: NDArray[np.int64]) -> bytes:
        """Return IFDs, referencing the planes, of uncompressed pages of one segment and series."""
        planes = self.geometry.plane_offsets(segment, series, pages)
        strips = planes[:, None] + np.array(series.strip_starts)
        return self._encode(segment, series, pages, strips, series.strip_bytes).tobytes()

    def _encode(
        self,
        segment: Segment,
        series: Series,
        pages: NDArray[np.int64],
        strip_offsets: NDArray[np.int64] | list[int],
        strip_bytes: Sequence[int],
    ) -> NDArray[np.uint8]:
        """Return IFDs of one series, shape (pages, bytes), each chained to the next of the segment."""
        stride = self.geometry.ifd_stride
        first = segment.first_row * self.geometry.pages_per_row
        offsets = segment.ifds + (pages - first) * stride
        last = first + segment.rows * self.geometry.pages_per_row - 1
        following = np.where(pages < last, offsets + stride, 0)
        strips = np.broadcast_to(np.asarray(strip_offsets), (len(pages), len(strip_bytes)))
        return series.template.encode(offsets, following, strips, strip_bytes, stride)

    def _locate_blank_strips(
        self, segment: Segment, capacity: int
    ) -> list[tuple[list[int], list[int]]]:
        """Return strip offsets and byte counts of blank pages, per series."""
        located = []
        offset = len(HEADER) + self.first.nbytes + capacity
        for series, strips in zip(self.geometry.series, self._blank_strips, strict=True):
            if strips is None:
                starts = [segment.blank_plane + start for start in series.strip_starts]
                located.append((starts, series.strip_bytes))
                continue
            counts = [len(s) for s in strips]
            located.append(([offset + sum(counts[:i]) for i in range(len(counts))], counts))
            offset += sum(counts)
        return located

    def _make_head(self, capacity: int) -> Head:
        geometry = self.geometry.without_segments()
        blank_strips = b"".join(strip for strips in self._blank_strips for strip in strips or ())
        description = len(HEADER) + self.first.nbytes
        offset = description + capacity + len(blank_strips)
        segment = geometry.next_segment(offset, skip_first=True)
        geometry.segments.append(segment)
        pages = segment.rows * geometry.pages_per_row
        strips, counts = self._locate_blank_strips(segment, capacity)[0]
        following = geometry.ifd_offset(1) if pages > 1 else 0
        first = self.first.encode(
            np.array([len(HEADER)]), np.array([following]), np.array([strips]), counts
        )
        ifds = None
        if pages * geometry.ifd_stride <= _MAX_CACHED_BYTES:
            ifds = b"".join(self.blank_ifds(segment, capacity))[geometry.ifd_stride :]
        return Head(HEADER + first.tobytes(), blank_strips, segment, ifds)


@cache
def _software() -> bytes:
    """Return the Software tag; looking up the version takes milliseconds."""
    return f"ome-writers {version('ome-writers')}".encode() + b"\0"
