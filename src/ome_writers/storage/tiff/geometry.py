"""Where each page of a file lies: pure arithmetic.

The pages of a file are counted in *rows*: a file that has a planned end is one row of all pages, image after
image in storage order; a file that grows has one row for each place along the growing axis. Rows
are laid down in *segments*: the records of all its pages side by side, so that a reader walks the
chain without jumping over pixels, then, if uncompressed, the room of all its planes. Before the records of the
first segment lies a plane that nobody writes: it stands for pages that have not landed yet. So a page is blank when
its strips lie before the file's second directory.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.tiff.ifd import PageKind, Records, aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan

__all__ = ["Geometry", "Segment", "Series"]

_SECTOR = 512  # bytes that a disk writes whole, or not at all, when the power fails
_SEGMENT_BYTES = 64 * 2**20  # of planes: what a growing file is longer than it need be
_FIRST_ROWS = 16  # then each segment doubles the file, up to
_MOST_ROWS = 8192


class Series:
    """The pages of one array within a row of its file.

    Attributes
    ----------
    first
        The number of its first page in a row.
    count
        Its pages in a row.
    base
        Where its planes begin in a row's room, in bytes.
    steps
        How far one step along each storage axis moves the number of the page in the file.
    """

    def __init__(self, plan: ArrayPlan, first: int, base: int, *, parted: bool) -> None:
        self.kind = PageKind.of(plan, parted=parted)
        self.records = Records(self.kind)
        self.growing = plan.growing
        self.index_shape = plan.index_shape
        inner = [1 if i == plan.growing else n for i, n in enumerate(plan.index_shape)]
        self.first = first
        self.count = math.prod(inner)
        self.base = base
        self.compressed = self.kind.compression != "none"
        self.stride = 0 if self.compressed else self.kind.stored_bytes
        self.steps = [math.prod(inner[i + 1 :]) for i in range(len(inner))]
        strips = self.kind.strips
        self.strip_bytes = [(b - a) * self.kind.row_bytes for a, b in strips]
        self.strip_starts = [
            a * self.kind.row_bytes + i * self.kind.gap for i, (a, _) in enumerate(strips)
        ]

    def settle(self, pages_in_row: int) -> None:
        """Take note of the row's length, which is the growing axis' step."""
        if self.growing is not None:
            self.steps[self.growing] = pages_in_row

    def page(self, index: Sequence[int]) -> int:
        """Return the number in the file of the page at a storage index."""
        if len(index) == 1:
            return self.first + index[0] * self.steps[0]
        page: int = sum(map(mul, index, self.steps), self.first)
        return page


@dataclass(frozen=True)
class Segment:
    """Some rows: where their records and their planes begin, and where the file's blank plane does."""

    first_row: int
    rows: int
    records: int
    hole: int
    data: int
    end: int


class Geometry:
    """All places in one file.

    Parameters
    ----------
    plans
        The arrays that the file holds.
    parted
        Whether no page may be one piece of the file; see `PageKind.of`.
    durable
        Whether power loss must not tear the numbers in a record that say where the strips of a page lie. They may be
        several; then records begin at sectors of the disk.
    """

    def __init__(self, plans: Sequence[ArrayPlan], *, parted: bool, durable: bool = False) -> None:
        self.series: list[Series] = []
        pages = room = 0
        for plan in plans:
            series = Series(plan, pages, room, parted=parted)
            self.series.append(series)
            pages += series.count
            room += series.count * series.stride
        for series in self.series:
            series.settle(pages)
        self.grows = any(s.growing is not None for s in self.series)
        self.pages_in_row = pages
        self.row_room = room
        several = any(s.compressed or len(s.strip_bytes) > 1 for s in self.series)
        self._unit = _SECTOR if durable and several else 8
        self.record = aligned(max(s.records.nbytes for s in self.series), self._unit)
        self.segments: list[Segment] = []
        self._starts = np.array([s.first for s in self.series])

    def twin(self) -> Geometry:
        """Return the geometry of another file that holds such arrays."""
        twin = copy.copy(self)
        twin.segments = []
        return twin

    @property
    def rows(self) -> int:
        """Rows that have a place."""
        return self.segments[-1].first_row + self.segments[-1].rows if self.segments else 0

    def next_segment(self, offset: int, *, skip_first: bool = False) -> Segment:
        """Return a segment of some more rows from `offset` on, to be added to `segments` when it is on disk.

        With `skip_first` the first page's record lies elsewhere.
        """
        rows = 1
        if self.grows:
            per_row = self.row_room or self.record * self.pages_in_row * 64
            most = min(_SEGMENT_BYTES // max(1, per_row), _MOST_ROWS)
            rows = max(1, min(most, max(_FIRST_ROWS, self.rows)))
        if self.segments:
            hole = self.segments[0].hole
        else:
            hole = aligned(offset, 16)
            offset = hole + max(series.stride for series in self.series)
        records = aligned(offset, self._unit) - (self.record if skip_first else 0)
        data = aligned(records + rows * self.pages_in_row * self.record, 16)
        return Segment(self.rows, rows, records, hole, data, data + rows * self.row_room)

    def segment_of(self, page: int) -> Segment:
        """Return the segment that a page lies in."""
        row = page // self.pages_in_row
        if len(self.segments) > 1:
            for segment in reversed(self.segments):
                if segment.first_row <= row:
                    return segment
        return self.segments[0]

    def series_of(self, page: int) -> Series:
        """Return the series that a page belongs to."""
        if len(self.series) == 1:
            return self.series[0]
        within = page % self.pages_in_row
        return self.series[int(np.searchsorted(self._starts, within, side="right")) - 1]

    def record_at(self, page: int) -> int:
        """Return where the record of a page begins (the file's first page apart)."""
        segment = self.segment_of(page)
        return segment.records + (page - segment.first_row * self.pages_in_row) * self.record

    def plane_at(self, page: int) -> int:
        """Return where an uncompressed page's pixels begin."""
        segment, series = self.segment_of(page), self.series_of(page)
        row, within = divmod(page, self.pages_in_row)
        start = segment.data + (row - segment.first_row) * self.row_room
        return start + series.base + (within - series.first) * series.stride

    def planes_at(
        self, segment: Segment, series: Series, pages: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return where the pixels of uncompressed pages of one segment and series begin."""
        rows, within = np.divmod(pages, self.pages_in_row)
        start = segment.data + (rows - segment.first_row) * self.row_room
        planes: NDArray[np.int64] = start + series.base + (within - series.first) * series.stride
        return planes

    def run(self, page: int) -> int:
        """Return how many pages from `page` on lie side by side, room behind room."""
        if len(self.series) == 1:
            segment = self.segment_of(page)
            return (segment.first_row + segment.rows) * self.pages_in_row - page
        series = self.series_of(page)
        return series.first + series.count - page % self.pages_in_row

    def kept(self, shapes: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """Return the numbers of the pages that arrays of `shapes` (with y and x) have, sorted."""
        numbers = []
        for series, shape in zip(self.series, shapes, strict=True):
            at = np.zeros((), dtype=np.int64)
            for extent, step in zip(shape[:-2], series.steps, strict=True):
                at = at[..., None] + np.arange(extent, dtype=np.int64) * step
            numbers.append(series.first + at.reshape(-1))
        return np.sort(np.concatenate(numbers))
