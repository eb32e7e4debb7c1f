"""One BigTIFF file whose chain of directories is valid at every moment.

Each change that a reader can notice is one small write, done last: the number that points to what was written
before. So a reader that polls, and whoever opens the file after the process was killed, finds the old state
or the new one.
"""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.positional import read_at, write_at
from ome_writers.storage.tiff.directory import HEADER, Records, aligned
from ome_writers.storage.tiff.sparse import make_sparse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.direct.handles import Handles
    from ome_writers.storage.tiff.geometry import Geometry, Segment, Series

__all__ = ["TiffFile"]

_AT_ONCE = 65_536  # records made at once


class TiffFile:
    """A file of pages.

    It comes into being with its first description (`describe`), so that this can stand at its
    front, or with the first access to a page.

    Parameters
    ----------
    path
        The file.
    geometry
        Where its pages lie.
    blanks
        For each compressed series the stored strips of a plane of zeros: they stand for every page that was not
        written yet.
    handles
        The open files.
    software
        Who writes, for the Software tag.
    """

    def __init__(
        self,
        path: Path,
        geometry: Geometry,
        blanks: Sequence[Sequence[bytes] | None],
        handles: Handles,
        software: bytes,
    ) -> None:
        self.path = path
        self.geometry = geometry
        self._blanks = blanks
        self._blank_strips: list[tuple[list[int], list[int]] | None] = []
        self._handles = handles
        self._first = Records(geometry.series[0].kind, first=True, software=software)
        self._lock = threading.Lock()  # held while places are given away, or the chain or the description changes
        self._end = 0
        self._visible = 0  # rows that the chain leads to
        self._slots: list[list[int]] = []  # [offset, capacity] of the places for descriptions
        self._slot = 0
        self._made = False

    # ------------------------------------------------------------------ descriptions

    def describe(self, text: bytes) -> None:
        """Make `text` the ImageDescription of the first page."""
        content = text + b"\0"
        with self._lock:
            if not self._made:
                self._create(content)
                return
            slot = self._free_slot(len(content))
            offset = self._slots[slot][0]
            with self._handles.use(self.path) as fd:
                write_at(fd, [content], offset)
            self._handles.sync(self.path)
            self._point_to(offset, len(content))
            self._slot = slot
        self._handles.sync(self.path)

    def _point_to(self, offset: int, count: int) -> None:
        with self._handles.use(self.path) as fd:
            write_at(fd, [struct.pack("<QQ", count, offset)], len(HEADER) + self._first.description_at)

    def _free_slot(self, nbytes: int) -> int:
        """Return a place for a description that is not the one in force."""
        for i, (_, capacity) in enumerate(self._slots):
            if i != self._slot and capacity >= nbytes:
                return i
        capacity = aligned(nbytes + nbytes // 4 if self.geometry.grows else nbytes)
        self._slots.append([self._allocate(capacity), capacity])
        return len(self._slots) - 1

    # ------------------------------------------------------------------ structure

    def ensure(self) -> None:
        """Make the file, if it was not made yet."""
        with self._lock:
            if not self._made:
                self._create(None)

    def extend_to(self, page: int) -> None:
        """Give `page` a place, and the rows before it."""
        with self._lock:
            if not self._made:
                self._create(None)
            while page >= self.geometry.rows * self.geometry.pages_in_row:
                segment = self.geometry.add_segment(self._end)
                self._end = segment.end
                with self._handles.use(self.path) as fd:
                    self._write_records(fd, segment)
                    os.ftruncate(fd, self._end)

    def show(self, rows: int) -> None:
        """Have the chain lead to `rows` rows, at least to those that it led to before."""
        if rows <= self._visible:
            return
        self.extend_to(rows * self.geometry.pages_in_row - 1)
        with self._lock:
            pages = self.geometry.pages_in_row
            joints = [s.first_row for s in self.geometry.segments if self._visible < s.first_row < rows]
            self._link(rows * pages - 1, None)
            for row in reversed(joints):
                self._link(row * pages - 1, row * pages)
            self._link(self._visible * pages - 1, self._visible * pages)
            self._visible = rows

    def cut(self, shapes: Sequence[Sequence[int]]) -> None:
        """Leave out of the chain what lies beyond `shapes`, and give its room back."""
        with self._lock:
            kept = self.geometry.kept(shapes)
            if len(kept) == self._visible * self.geometry.pages_in_row and not self.geometry.grows:
                return
            following = np.append(kept[1:], -1)
            last = self._visible * self.geometry.pages_in_row - 1
            moved = (following != kept + 1) & ~((following == -1) & (kept == last))
            for page, after in zip(kept[moved].tolist()[::-1], following[moved].tolist()[::-1], strict=True):
                self._link(page, None if after < 0 else after)
            self._truncate(int(kept[-1]))

    def _create(self, content: bytes | None) -> None:
        """Write header, description, records and blank strips; size the file for all planes."""
        geometry, start = self.geometry, len(HEADER)
        described = start + self._first.nbytes
        capacity = aligned(len(content or b""))
        self._slots, self._slot = [[described, capacity]], 0
        offset = described + capacity
        blanks = bytearray()
        for stored in self._blanks:
            if stored is None:
                self._blank_strips.append(None)
                continue
            counts = [len(s) for s in stored]
            starts = [offset + len(blanks) + sum(counts[:i]) for i in range(len(counts))]
            blanks += b"".join(stored)
            self._blank_strips.append((starts, counts))
        segment = geometry.add_segment(offset + len(blanks), skip_first=True)
        self._end, self._visible = segment.end, 1
        with self._handles.use(self.path, create=True) as fd:
            make_sparse(fd)
            os.ftruncate(fd, 0)
            first = self._first_record(segment)
            head = HEADER + first.tobytes() + (content or b"").ljust(capacity, b"\0") + blanks
            self._write_records(fd, segment, head=head)
            os.ftruncate(fd, self._end)
            if content is not None:
                self._point_to(described, len(content))
        if geometry.grows:
            self._link(geometry.pages_in_row - 1, None)
        self._made = True

    def _first_record(self, segment: Segment) -> NDArray[np.uint8]:
        series = self.geometry.series[0]
        pages = segment.rows * self.geometry.pages_in_row
        following = self.geometry.record_at(1) if pages > 1 else 0
        strips, counts = self._strips(segment, 0, 0)
        return self._first.make(
            np.array([len(HEADER)], np.uint64), np.array([following], np.uint64), strips[:1], counts
        )

    def _strips(self, segment: Segment, number: int, row: int) -> tuple[NDArray[np.uint64], Sequence[int]]:
        """Return offsets (pages, strips) and byte counts (strips,) of a series' pages in a row."""
        series, blank = self.geometry.series[number], self._blank_strips[number]
        if blank is None:
            return self.geometry.strips_of(segment, series, row), series.strip_bytes
        offsets = np.array(blank[0], dtype=np.uint64)
        return np.broadcast_to(offsets, (series.count, len(offsets))), blank[1]

    def _write_records(self, fd: int, segment: Segment, head: bytes = b"") -> None:
        """Write a segment's records, chained among themselves, and before them `head` (from the file's start on)."""
        geometry, size = self.geometry, self.geometry.record
        first = segment.first_row * geometry.pages_in_row
        stop = first + segment.rows * geometry.pages_in_row
        pending = [head] if head else []
        at = 0 if head else segment.records
        filled = len(head)
        for row in range(segment.first_row, segment.first_row + segment.rows):
            for number, series in enumerate(geometry.series):
                strips, counts = self._strips(segment, number, row)
                page = row * geometry.pages_in_row + series.first
                for begin in range(0, series.count, _AT_ONCE):
                    chunk = strips[begin : begin + _AT_ONCE]
                    pages = np.arange(page + begin, page + begin + len(chunk))
                    offsets = (segment.records + (pages - first) * size).astype(np.uint64)
                    following = np.where(pages + 1 < stop, offsets + np.uint64(size), 0).astype(np.uint64)
                    made = series.records.make(offsets, following, chunk, counts, size)
                    if head and page + begin == 0:  # the first page's record stands in the head
                        made = made[1:]
                        gap = segment.records + size - len(head)
                        pending.append(bytes(gap))
                        filled += gap
                    pending.append(made.tobytes())
                    filled += made.size
                    if filled > 2**24:
                        write_at(fd, pending, at)
                        at, filled, pending = at + filled, 0, []
        if pending:
            write_at(fd, pending, at)

    def _link(self, page: int, following: int | None) -> None:
        """Have the chain go from one page to another, or end there: one write of 8 bytes."""
        offset = 0 if following is None else self.geometry.record_at(following)
        at = self._record_at(page) + (self._first if page == 0 else self._records(page)).next_at
        with self._handles.use(self.path) as fd:
            write_at(fd, [struct.pack("<Q", offset)], at)

    def _truncate(self, last: int) -> None:
        """Give back the room behind page `last`; a description that lies there moves forward."""
        geometry = self.geometry
        series, segment = geometry.series_of(last), geometry.segment_of(last)
        if series.compressed or segment is not geometry.segments[-1]:
            return
        end = aligned(geometry.plane_at(last) + series.stride)
        with self._handles.use(self.path) as fd:
            offset, capacity = self._slots[self._slot]
            if offset >= end:
                content = read_whole(fd, capacity, offset)
                content = content[: content.index(b"\0") + 1]
                if end + len(content) > offset:
                    return  # it would overwrite itself; a few bytes too many do no harm
                write_at(fd, [content], end)
                self._point_to(end, len(content))
                self._slots[self._slot] = [end, aligned(len(content))]
                end += aligned(len(content))
            current = self._slots[self._slot]
            self._slots = [slot for slot in self._slots if slot is current or slot[0] < end]
            self._slot = self._slots.index(current)
            os.ftruncate(fd, end)
        self._end = end

    # ------------------------------------------------------------------ pages

    def write_planes(self, page: int, buffers: Sequence[memoryview | bytes]) -> None:
        """Write uncompressed planes that lie side by side, from `page` on."""
        with self._handles.use(self.path) as fd:
            write_at(fd, buffers, self.geometry.plane_at(page))

    def write_stored(self, page: int, stored: Sequence[bytes]) -> None:
        """Append the stored strips of a compressed page, then have its record point to them."""
        counts = [len(s) for s in stored]
        records = self._first if page == 0 else self._records(page)
        at = self._record_at(page) + records.strips_at
        with self._lock:
            offset = self._allocate(sum(counts))
        starts = [offset + sum(counts[:i]) for i in range(len(counts))]
        with self._handles.use(self.path) as fd:
            write_at(fd, list(stored), offset)
            now = read_at(fd, records.strips_span, at)
            write_at(fd, [records.strips_patch(now, starts, counts)], at)

    def read_strips(self, page: int) -> list[bytes]:
        """Return the stored strips of a page; shorter or empty where the file ends."""
        records = self._first if page == 0 else self._records(page)
        with self._handles.use(self.path, writing=False) as fd:
            now = read_at(fd, records.strips_span, self._record_at(page) + records.strips_at)
            return [read_whole(fd, count, offset) for offset, count in records.read_strips(now)]

    def has(self, page: int) -> bool:
        """Whether a page has a place."""
        return self._made and page < self.geometry.rows * self.geometry.pages_in_row

    # ------------------------------------------------------------------ inside

    def _records(self, page: int) -> Records:
        return self.geometry.series_of(page).records

    def _record_at(self, page: int) -> int:
        return len(HEADER) if page == 0 else self.geometry.record_at(page)

    def _allocate(self, nbytes: int) -> int:
        """Give away a place at the end of the file (with the lock held)."""
        offset = aligned(self._end)
        self._end = offset + nbytes
        return offset


def read_whole(fd: int, count: int, offset: int) -> bytes:
    """Return `count` bytes from `offset`, fewer only where the file ends: the system gives 2 GiB at once."""
    parts = []
    while count:
        part = read_at(fd, count, offset)
        if not part:
            break
        parts.append(part)
        count, offset = count - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
