# Longer than 300 lines: places, chain, description and pages of a file share one lock.
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
from ome_writers.storage.tiff.directory import HEADER, aligned
from ome_writers.storage.tiff.landing import Landing
from ome_writers.storage.tiff.sparse import make_sparse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.handles import Handles
    from ome_writers.storage.tiff.directory import Records
    from ome_writers.storage.tiff.geometry import Segment
    from ome_writers.storage.tiff.structure import Structure

__all__ = ["TiffFile"]


class TiffFile:
    """A file of pages.

    It comes into being with its first description (`describe`), so that this can stand at its
    front, or with the first access to a page.

    Parameters
    ----------
    path
        The file.
    structure
        What makes its records.
    handles
        The open files.
    """

    def __init__(
        self,
        path: Path,
        structure: Structure,
        handles: Handles,
    ) -> None:
        self.path = path
        self.geometry = structure.geometry.twin()
        self._structure = structure
        self._handles = handles
        self._first = structure.first
        self._capacity = 0
        self._lock = threading.Lock()  # of places, the chain and the description
        self._end = 0
        self._visible = 0  # rows that the chain leads to
        self._slots: list[list[int]] = []  # [offset, capacity] of the places for descriptions
        self._slot = 0
        self._made = False
        self._landing = Landing(self.geometry, structure)
        self._cut_behind: int | None = None  # the last page that has its room still

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
            write_at(
                fd, [struct.pack("<QQ", count, offset)], len(HEADER) + self._first.description_at
            )

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
            joints = [
                s.first_row for s in self.geometry.segments if self._visible < s.first_row < rows
            ]
            self._link(rows * pages - 1, None)
            for row in reversed(joints):
                self._link(row * pages - 1, row * pages)
            self._link(self._visible * pages - 1, self._visible * pages)
            self._visible = rows

    def cut(self, shapes: Sequence[Sequence[int]]) -> None:
        """Leave out of the chain what lies beyond `shapes`, and give its room back."""
        kept = self.geometry.kept(shapes)
        self._show_pages(self._landing.rest(kept))
        with self._lock:
            self._cut_behind = int(kept[-1])
            if len(kept) == self._visible * self.geometry.pages_in_row and not self.geometry.grows:
                return
            following = np.append(kept[1:], -1)
            last = self._visible * self.geometry.pages_in_row - 1
            moved = (following != kept + 1) & ~((following == -1) & (kept == last))
            for page, after in zip(
                kept[moved].tolist()[::-1], following[moved].tolist()[::-1], strict=True
            ):
                self._link(page, None if after < 0 else after)
            self._truncate(int(kept[-1]))

    def _create(self, content: bytes | None) -> None:
        """Write header, description, records and blank strips; size the file for all planes."""
        described = len(HEADER) + self._first.nbytes
        self._capacity = aligned(len(content or b""), 256)
        self._slots, self._slot = [[described, self._capacity]], 0
        head = self._structure.head(self._capacity)
        self.geometry.segments.append(head.segment)
        self._end, self._visible = head.segment.end, 1
        parts = [head.start, bytes(self._capacity)]
        if content is not None:
            at = len(HEADER) + self._first.description_at
            pointer = struct.pack("<QQ", len(content), described)
            room = content.ljust(self._capacity, b"\0")
            parts = [head.start[:at], pointer, head.start[at + 16 :], room]
        with self._handles.use(self.path, create=True) as fd:
            make_sparse(fd)
            os.ftruncate(fd, 0)
            write_at(fd, [*parts, head.blanks], 0)
            if head.records is None:
                self._write_records(fd, head.segment, skip=1)
            elif head.records:
                write_at(fd, [head.records], head.segment.records + self.geometry.record)
            os.ftruncate(fd, self._end)
        if self.geometry.grows:
            self._link(self.geometry.pages_in_row - 1, None)
        self._made = True

    def _write_records(self, fd: int, segment: Segment, *, skip: int = 0) -> None:
        """Write the records of a segment, the first `skip` of them apart."""
        at = segment.records
        ahead = skip * self.geometry.record
        for records in self._structure.records(segment, self._capacity):
            write_at(fd, [memoryview(records)[ahead:]], at + ahead)
            at, ahead = at + len(records), 0

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
                if end + len(content) > offset:  # it would overwrite itself: once around
                    self._move_to(fd, aligned(self._end), content)
                self._move_to(fd, end, content)
                end += aligned(len(content))
            current = self._slots[self._slot]
            self._slots = [slot for slot in self._slots if slot is current or slot[0] < end]
            self._slot = self._slots.index(current)
            os.ftruncate(fd, end)
        self._end = end

    def _move_to(self, fd: int, offset: int, content: bytes) -> None:
        """Put the description in force at another place."""
        write_at(fd, [content], offset)
        self._point_to(offset, len(content))
        self._slots[self._slot] = [offset, aligned(len(content))]

    # ------------------------------------------------------------------ pages

    def write_planes(
        self, page: int, buffers: Sequence[memoryview | bytes], count: int = 1
    ) -> None:
        """Write `count` uncompressed planes that lie side by side, from `page` on.

        Readers find them there after the next `show_landed`: a plane that is half on its way is never seen.
        """
        try:
            with self._handles.use(self.path) as fd:
                write_at(fd, buffers, self.geometry.plane_at(page))
        except OSError:
            self._landing.fail(page, count)
            raise
        self._landing.add(page, count)

    def show_landed(self) -> None:
        """Lead the records of the planes that have landed since the last time to their places."""
        pages = self._landing.take()
        try:
            self._show_pages(pages)
        except OSError:
            self._landing.put_back(pages)
            raise

    def _show_pages(self, pages: NDArray[np.int64]) -> None:
        if not len(pages):
            return
        geometry = self.geometry
        ends = {(s.first_row + s.rows) * geometry.pages_in_row - 1 for s in geometry.segments}
        ends |= {0, self._visible * geometry.pages_in_row - 1}
        alone = np.isin(pages, list(ends))  # they are chained in ways of their own
        self._handles.sync(self.path)  # pixels before what leads to them
        with self._handles.use(self.path) as fd:
            for page in pages[alone].tolist():
                series = geometry.series_of(page)
                if not series.compressed:
                    starts = [geometry.plane_at(page) + s for s in series.strip_starts]
                    self._patch(fd, page, starts, series.strip_bytes)
            for offset, records in self._landing.records(pages, alone):
                write_at(fd, [records], offset)
        self._landing.mark(pages)

    def write_stored(self, page: int, stored: Sequence[bytes]) -> None:
        """Append the stored strips of a compressed page, then have its record point to them."""
        counts = [len(s) for s in stored]
        with self._lock:
            offset = self._allocate(sum(counts))
        starts = [offset + sum(counts[:i]) for i in range(len(counts))]
        with self._handles.use(self.path) as fd:
            write_at(fd, list(stored), offset)
            self._patch(fd, page, starts, counts)

    def _patch(self, fd: int, page: int, starts: Sequence[int], counts: Sequence[int]) -> None:
        """Have the record of a page lead to other strips, with one write."""
        records = self._first if page == 0 else self._records(page)
        at = self._record_at(page) + records.strips_at
        now = read_at(fd, records.strips_span, at)
        write_at(fd, [records.strips_patch(now, starts, counts)], at)

    def read_strips(self, page: int) -> list[bytes]:
        """Return the stored strips of a page; shorter or empty where the file ends."""
        records = self._first if page == 0 else self._records(page)
        series = self.geometry.series_of(page)
        with self._handles.use(self.path, writing=False) as fd:
            if not series.compressed:  # what has landed and is not shown yet, too
                at = self.geometry.plane_at(page)
                parts = zip(series.strip_bytes, series.strip_starts, strict=True)
                return [read_whole(fd, count, at + start) for count, start in parts]
            now = read_at(fd, records.strips_span, self._record_at(page) + records.strips_at)
            return [read_whole(fd, count, offset) for offset, count in records.read_strips(now)]

    def has(self, page: int) -> bool:
        """Whether a page has a place."""
        there = self.geometry.rows * self.geometry.pages_in_row
        return self._made and page < (there if self._cut_behind is None else self._cut_behind + 1)

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
