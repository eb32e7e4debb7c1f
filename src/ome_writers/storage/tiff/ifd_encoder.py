"""The bytes of a file's structure: what stands before its first plane, and the records of its segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.tiff.ifd import HEADER, Records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ome_writers.storage.tiff.geometry import Geometry, Segment, Series

__all__ = ["Head", "IfdEncoder"]

_AT_ONCE = 2048  # records made at once: their memory stays in the cache, and is used again
_KEPT = 2**20  # bytes of records that are kept for other files that begin alike


@dataclass(frozen=True)
class Head:
    """The start of a file.

    Attributes
    ----------
    start
        Header and first record; the room for the description follows.
    blanks
        The stored planes of zeros behind that room.
    segment
        The first segment, whose records follow.
    records
        These records but the first; None when there are too many to keep.
    """

    start: bytes
    blanks: bytes
    segment: Segment
    records: bytes | None


class IfdEncoder:
    """Makes the records of files that hold arrays alike.

    Parameters
    ----------
    geometry
        Where the pages lie.
    blanks
        For each compressed series the stored strips of a plane of zeros: they stand for every page that was not
        written yet.
    software
        Who writes, for the Software tag.
    """

    def __init__(
        self, geometry: Geometry, blanks: Sequence[Sequence[bytes] | None], software: bytes
    ) -> None:
        self.geometry = geometry
        self.first = Records(geometry.series[0].kind, first=True, software=software)
        self._blanks = blanks
        self._heads: dict[int, Head] = {}

    def head(self, capacity: int) -> Head:
        """Return the start of a file whose description has room for `capacity` bytes."""
        if capacity not in self._heads:
            self._heads[capacity] = self._make_head(capacity)
        return self._heads[capacity]

    def blank_strips(self, segment: Segment, capacity: int) -> list[tuple[list[int], list[int]]]:
        """Return offsets and byte counts of the strips that stand for pages that have not landed, series by series.

        All of them are zeros; no frame is ever written there.
        """
        found = []
        offset = len(HEADER) + self.first.nbytes + capacity
        for series, stored in zip(self.geometry.series, self._blanks, strict=True):
            if stored is None:
                found.append(([segment.hole + s for s in series.strip_starts], series.strip_bytes))
                continue
            counts = [len(s) for s in stored]
            found.append(([offset + sum(counts[:i]) for i in range(len(counts))], counts))
            offset += sum(counts)
        return found

    def records(self, segment: Segment, capacity: int) -> Iterator[bytes]:
        """Yield a segment's records, chained among themselves, side by side; all of them blank."""
        pages = self.geometry.pages_in_row
        blanks = self.blank_strips(segment, capacity)
        first = segment.first_row * pages
        if segment.rows == 1:
            for series, blank in zip(self.geometry.series, blanks, strict=True):
                for begin in range(0, series.count, _AT_ONCE):
                    within = np.arange(begin, min(begin + _AT_ONCE, series.count))
                    yield self._make(
                        segment, series, first + series.first + within, *blank
                    ).tobytes()
            return
        step = max(1, _AT_ONCE // pages)
        stop = segment.first_row + segment.rows
        for begin in range(segment.first_row, stop, step):
            rows = np.arange(begin, min(begin + step, stop))[:, None] * pages
            out = np.empty((len(rows), pages, self.geometry.record), np.uint8)
            for series, blank in zip(self.geometry.series, blanks, strict=True):
                numbers = rows + series.first + np.arange(series.count)
                made = self._make(segment, series, numbers.reshape(-1), *blank)
                out[:, series.first : series.first + series.count] = made.reshape(
                    len(rows), series.count, -1
                )
            yield out.tobytes()

    def landed(self, segment: Segment, series: Series, pages: NDArray[np.int64]) -> bytes:
        """Return records of uncompressed pages of one segment and series that lead to the pages' own places."""
        planes = self.geometry.planes_at(segment, series, pages)
        strips = planes[:, None] + np.array(series.strip_starts)
        return self._make(segment, series, pages, strips, series.strip_bytes).tobytes()

    def _make(
        self,
        segment: Segment,
        series: Series,
        pages: NDArray[np.int64],
        strips: NDArray[np.int64] | list[int],
        counts: Sequence[int],
    ) -> NDArray[np.uint8]:
        """Return records of pages of a series, shape (pages, bytes), as they are chained at first."""
        record = self.geometry.record
        first = segment.first_row * self.geometry.pages_in_row
        at = segment.records + (pages - first) * record
        last = first + segment.rows * self.geometry.pages_in_row - 1
        following = np.where(pages < last, at + record, 0)
        places = np.broadcast_to(np.asarray(strips), (len(pages), len(counts)))
        return series.records.make(at, following, places, counts, record)

    def _make_head(self, capacity: int) -> Head:
        geometry = self.geometry.twin()
        blanks = b"".join(strip for stored in self._blanks for strip in stored or ())
        described = len(HEADER) + self.first.nbytes
        segment = geometry.next_segment(described + capacity + len(blanks), skip_first=True)
        geometry.segments.append(segment)
        pages = segment.rows * geometry.pages_in_row
        strips, counts = self.blank_strips(segment, capacity)[0]
        following = geometry.record_at(1) if pages > 1 else 0
        first = self.first.make(
            np.array([len(HEADER)]), np.array([following]), np.array([strips]), counts
        )
        records = None
        if pages * geometry.record <= _KEPT:
            records = b"".join(self.records(segment, capacity))[geometry.record :]
        return Head(HEADER + first.tobytes(), blanks, segment, records)
