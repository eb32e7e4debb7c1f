"""The bytes of a file's structure: what stands before its first plane, and the records of its segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.tiff.directory import HEADER, Records, aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ome_writers.storage.tiff.geometry import Geometry, Segment

__all__ = ["Head", "Structure", "hole_at"]

_AT_ONCE = 65_536  # records made at once: some 20 MB
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
        These records, with the gap before them; None when there are too many to keep.
    """

    start: bytes
    blanks: bytes
    segment: Segment
    records: bytes | None


def hole_at(segment: Segment) -> int:
    """Return where the plane begins that no one writes: it stands for pages that have not landed yet."""
    return aligned(segment.end, 16)


class Structure:
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

    def blank_strips(self, capacity: int) -> list[tuple[list[int], list[int]] | None]:
        """Return offsets and byte counts of each series' blank strips in such a file."""
        found: list[tuple[list[int], list[int]] | None] = []
        offset = len(HEADER) + self.first.nbytes + capacity
        for stored in self._blanks:
            if stored is None:
                found.append(None)
                continue
            counts = [len(s) for s in stored]
            found.append(([offset + sum(counts[:i]) for i in range(len(counts))], counts))
            offset += sum(counts)
        return found

    def records(self, segment: Segment, capacity: int) -> Iterator[bytes]:
        """Yield a segment's records, chained among themselves, side by side."""
        pages = self.geometry.pages_in_row
        blanks = self.blank_strips(capacity)
        if segment.rows == 1:
            row = np.array([segment.first_row])
            for number, series in enumerate(self.geometry.series):
                for begin in range(0, series.count, _AT_ONCE):
                    within = np.arange(begin, min(begin + _AT_ONCE, series.count))
                    yield self._make(segment, number, row, within, blanks[number]).tobytes()
            return
        step = max(1, _AT_ONCE // pages)
        stop = segment.first_row + segment.rows
        for begin in range(segment.first_row, stop, step):
            rows = np.arange(begin, min(begin + step, stop))
            out = np.empty((len(rows), pages, self.geometry.record), np.uint8)
            for number, series in enumerate(self.geometry.series):
                made = self._make(segment, number, rows, np.arange(series.count), blanks[number])
                out[:, series.first : series.first + series.count] = made
            yield out.tobytes()

    def landed(self, segment: Segment, number: int, within: NDArray[np.int64]) -> bytes:
        """Return records of pages of an uncompressed series that point to the pages' own places."""
        row = np.array([segment.first_row])
        return self._make(segment, number, row, within, None, own=True).tobytes()

    def _make(
        self,
        segment: Segment,
        number: int,
        rows: NDArray[np.int64],
        within: NDArray[np.int64],
        blank: tuple[list[int], list[int]] | None,
        *,
        own: bool = False,
    ) -> NDArray[np.uint8]:
        """Return records of a series, shape (rows, pages, bytes)."""
        geometry, series = self.geometry, self.geometry.series[number]
        lines = rows - segment.first_row
        pages = (lines[:, None] * geometry.pages_in_row + series.first + within).reshape(-1)
        at = segment.records + pages * geometry.record
        last = segment.rows * geometry.pages_in_row - 1
        following = np.where(pages < last, at + geometry.record, 0)
        if blank is None and not own and not geometry.grows:
            starts = np.array(series.strip_starts) + hole_at(segment)
            strips, counts = (
                np.broadcast_to(starts, (len(pages), len(starts))),
                series.strip_bytes,
            )
        elif blank is None:
            planes = lines[:, None] * geometry.row_room + within * series.stride
            starts = np.array(series.strip_starts) + segment.data + series.base
            strips, counts = planes.reshape(-1, 1) + starts, series.strip_bytes
        else:
            strips = np.broadcast_to(np.array(blank[0]), (len(pages), len(blank[0])))
            counts = blank[1]
        made = series.records.make(at, following, strips, counts, geometry.record)
        return made.reshape(len(rows), len(within), -1)

    def _make_head(self, capacity: int) -> Head:
        geometry = self.geometry.twin()
        blanks = b"".join(strip for stored in self._blanks for strip in stored or ())
        described = len(HEADER) + self.first.nbytes
        segment = geometry.add_segment(described + capacity + len(blanks), skip_first=True)
        pages = segment.rows * geometry.pages_in_row
        series, blank = geometry.series[0], self.blank_strips(capacity)[0]
        if blank is None:
            begin = segment.data if geometry.grows else hole_at(segment)
            strips, counts = [begin + s for s in series.strip_starts], series.strip_bytes
        else:
            strips, counts = blank
        following = geometry.record_at(1) if pages > 1 else 0
        first = self.first.make(
            np.array([len(HEADER)]), np.array([following]), np.array([strips]), counts
        )
        records = None
        if pages * geometry.record <= _KEPT:
            before = segment.records + geometry.record - (described + capacity + len(blanks))
            chained = b"".join(self.records(segment, capacity))
            records = bytes(before) + chained[geometry.record :]
        return Head(HEADER + first.tobytes(), blanks, segment, records)
