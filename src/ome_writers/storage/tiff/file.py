# Longer than 300 lines: places, chain, description and pages of a file share one lock.
"""One BigTIFF file whose chain of directories is valid at every moment.

Each change that a reader can notice is one small write, done last: the number that points to what was written
before. So a reader that polls, and whoever opens the file after the process was killed, finds the old state
or the new one. With durable files what was written is synced before the number that points to it is written.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.locks import new_lock
from ome_writers.storage.file_lease import exclusive_lease
from ome_writers.storage.positional_io import patch_at, read_at, read_whole, write_at
from ome_writers.storage.tiff.allocator import Allocator, Extent
from ome_writers.storage.tiff.ifd import HEADER, aligned
from ome_writers.storage.tiff.ifd_chain import IfdChainCopy
from ome_writers.storage.tiff.page_visibility import PageVisibility
from ome_writers.storage.tiff.sparse_file import make_sparse, stretch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.file_handles import FileHandles
    from ome_writers.storage.tiff.geometry import Segment
    from ome_writers.storage.tiff.ifd import Records
    from ome_writers.storage.tiff.ifd_encoder import IfdEncoder

__all__ = ["TiffFile"]

# bytes that a growing file is longer than it need be: as many as it has, within these
_LEAST_AHEAD, _MOST_AHEAD = 2**20, 64 * 2**20


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
        structure: IfdEncoder,
        handles: FileHandles,
    ) -> None:
        self.path = path
        self.geometry = structure.geometry.twin()
        self._structure = structure
        self._handles = handles
        self._first = structure.first
        self._capacity = 0
        self._lock = new_lock()  # of places, the chain and the description
        self._places = Allocator()
        self._size = 0
        self._visible = 0  # rows that the chain leads to
        self._first_at = len(HEADER)  # where the first directory stands
        self._made = False
        self._landing = PageVisibility(self.geometry, structure)
        self._moved: dict[int, int] = {}  # where planes lie that came again
        # of compressed pages whose records do not lead to them yet: offset and bytes of each strip
        self._unshown: dict[int, list[tuple[int, int]]] = {}
        self._cut_behind: int | None = None  # the last page that has its room still
        self._kept: NDArray[np.int64] | None = None  # pages that the next description tells of
        self._alone = False

    # ------------------------------------------------------------------ descriptions

    def describe(self, text: bytes) -> None:
        """Make `text` the ImageDescription of the first page."""
        content = text + b"\0"
        with self._lock:
            if not self._made:
                self._create(content)
                return
            if self._kept is not None and self._alone and self._chain_is_longer(self._kept):
                self._lay(self._kept, content)
                return
            spare = len(content) // 4 if self.geometry.grows else 0
            within = self._kept is not None  # the file gets shorter: nothing may stand in the way
            place = self._places.for_description(len(content), spare=spare, within=within)
            with self._handles.use(self.path) as fd:
                self._stay_ahead(fd)
                write_at(fd, [content], place.offset)
            self._handles.sync(self.path)
            self._lead(self._first_at + self._first.description_at, len(content), place.offset)
            self._places.put_in_force(place)
        self._handles.sync(self.path)

    def patch_description(self, offset: int, old: bytes, new: bytes) -> None:
        """Overwrite bytes of the ImageDescription, if `old` is there."""
        with self._lock:
            if self._made and offset + len(new) <= self._places.in_force.capacity:
                with self._handles.use(self.path) as fd:
                    patch_at(fd, self._places.in_force.offset + offset, old, new)
        self._handles.sync(self.path)

    def _lead(self, at: int, *numbers: int) -> None:
        """Write numbers of 8 bytes that lead readers elsewhere, at once."""
        with self._handles.use(self.path) as fd:
            write_at(fd, [struct.pack(f"<{len(numbers)}Q", *numbers)], at)

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
                segment = self.geometry.next_segment(self._places.end)
                with self._handles.use(self.path) as fd:
                    self._write_records(fd, segment)
                    self._places.end = segment.end
                    self._stay_ahead(fd)
                self.geometry.segments.append(
                    segment
                )  # last: an exception before leaves nothing half-made

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
            self._handles.sync(self.path)
            self._link(self._visible * pages - 1, self._visible * pages)
            self._visible = rows

    def finish(self, shapes: Sequence[Sequence[int]], *, alone: bool) -> None:
        """Take note of the final shapes.

        The next description will tell of their pages only. In a file that stands alone these pages are chained anew
        at the same moment, so that each is the one that the description means; in a set, where other files tell of
        this one, too, they keep their numbers, and `settle` cuts what follows the last of them.
        """
        kept = self.geometry.kept(shapes)
        if not self._made:
            return
        try:
            self._show_pages(self._landing.rest(kept))
        finally:  # the next description tells of these pages, whether they could be shown or not
            with self._lock:
                self._cut_behind = int(kept[-1])
                self._kept, self._alone = kept, alone
                if self._can_shrink():
                    self._places.end = self._planes_end()  # what follows has never been shown

    @property
    def chained(self) -> int:
        """How many pages the chain has led to at most."""
        return self._visible * self.geometry.pages_in_row

    @property
    def unsettled(self) -> bool:
        """Whether `settle` takes away what a reader may have found a moment ago."""
        if self._kept is None:
            return False
        shrinks = self._can_shrink() and self._places.was_left_behind(self._shrunk())
        return shrinks or self._has_tail(self._kept)

    def settle(self, patience: float) -> None:
        """Have the chain end where the description does, and give back the room behind all that is told of.

        Other processes that have the file open are waited for until `patience` (`time.monotonic`).
        """
        with self._lock:
            if self._kept is None:
                return
            if self._has_tail(self._kept):
                self._link(int(self._kept[-1]), None)
                self._handles.sync(self.path)
            if self._can_shrink():
                self._places.end = self._shrunk()
                self._places.forget_all_but_one()
            end = self._places.end
            with self._handles.use(self.path) as fd:
                if os.fstat(fd).st_size > end:
                    with exclusive_lease(fd, timeout_s=patience - time.monotonic()):
                        os.ftruncate(fd, end)
            self._kept = None
        self._handles.sync(self.path)

    def _has_tail(self, kept: NDArray[np.int64]) -> bool:
        return self._first_at == len(HEADER) and self.chained > int(kept[-1]) + 1

    def _chain_is_longer(self, kept: NDArray[np.int64]) -> bool:
        return self._first_at == len(HEADER) and len(kept) < self.chained

    def _can_shrink(self) -> bool:
        """Whether nothing but room lies behind the last page that is kept."""
        assert self._cut_behind is not None
        geometry = self.geometry
        if geometry.series_of(self._cut_behind).compressed or self._moved:
            return False
        return geometry.segment_of(self._cut_behind) is geometry.segments[-1]

    def _planes_end(self) -> int:
        last = self._cut_behind or 0
        return aligned(self.geometry.plane_at(last) + self.geometry.series_of(last).stride)

    def _shrunk(self) -> int:
        """Return how long the file need be: the description in force is what was written last."""
        described = self._places.in_force
        return max(self._planes_end(), described.offset + described.capacity)

    def _lay(self, kept: NDArray[np.int64], content: bytes) -> None:
        """Put a chain of the pages `kept`, and `content` as its description, in force with one write.

        The chain before stays for those who have begun to read it.
        """
        made = IfdChainCopy(self.geometry, self._first, kept)
        size = aligned(len(content))
        at = self._places.allocate(size + made.nbytes)
        with self._handles.use(self.path) as fd:
            write_at(fd, [content], at)
            for offset, directories in made.parts(fd, at + size, (len(content), at)):
                write_at(fd, [directories], offset)
        self._handles.sync(self.path)
        self._lead(8, at + size)
        self._first_at = at + size
        self._places.put_in_force(self._places.add(at, size + made.nbytes))
        self._handles.sync(self.path)

    def _create(self, content: bytes | None) -> None:
        """Write header, description, records and blank strips; size the file for all planes."""
        described = len(HEADER) + self._first.nbytes
        self._capacity = aligned(len(content or b""), 256)
        head = self._structure.head(self._capacity)
        self.geometry.segments[:] = [head.segment]  # an exception may have ended an earlier attempt
        self._places.begin(Extent(described, self._capacity), head.segment.end)
        self._visible = 1
        parts = [head.start, bytes(self._capacity)]
        if content is not None:
            at = len(HEADER) + self._first.description_at
            pointer = struct.pack("<QQ", len(content), described)
            room = content.ljust(self._capacity, b"\0")
            parts = [head.start[:at], pointer, head.start[at + 16 :], room]
        with self._handles.use(self.path, create=True) as fd:
            make_sparse(fd)
            # a file that was cut to nothing, ext4 brings to the disk when it is closed
            if os.fstat(fd).st_size:
                os.ftruncate(fd, 0)
            write_at(fd, [*parts, head.blanks], 0)
            if head.records is None:
                self._write_records(fd, head.segment, skip=1)
            elif head.records:
                write_at(fd, [head.records], head.segment.records + self.geometry.record)
            self._size = head.segment.end
            stretch(fd, self._size)
            self._stay_ahead(fd)
        if self.geometry.grows:
            self._link(self.geometry.pages_in_row - 1, None)
        self._handles.sync(self.path)
        self._made = True

    def _stay_ahead(self, fd: int) -> None:
        """Have a file that grows be longer than what was given away.

        Who opens it, and asks for its size once, so finds within it what comes a moment later.
        """
        end = self._places.end
        ahead = min(max(end, _LEAST_AHEAD), _MOST_AHEAD)
        if self.geometry.grows and self._cut_behind is None and end + ahead // 2 > self._size:
            stretch(fd, end + ahead)
            self._size = end + ahead

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

    # ------------------------------------------------------------------ pages

    def write_planes(
        self, page: int, buffers: Sequence[memoryview | bytes], count: int = 1
    ) -> None:
        """Write `count` uncompressed planes that lie side by side, from `page` on.

        Readers find them there after the next `show_landed`: a plane that is half on its way is never seen. Planes
        that come again lie elsewhere, so that the earlier ones are whole until then.
        """
        moved = self._moved and not self._moved.keys().isdisjoint(range(page, page + count))
        again = moved or self._landing.is_shown(page, count)
        place, stride = self.geometry.plane_at(page), self.geometry.series_of(page).stride
        if again:
            with self._lock:
                place = self._places.allocate(count * stride)
        try:
            with self._handles.use(self.path) as fd:
                write_at(fd, buffers, place)
        except OSError:
            self._landing.fail(page, count)
            raise
        if again:
            self._moved.update((page + n, place + n * stride) for n in range(count))
            self._landing.hide(page, count)
        self._landing.add(page, count)

    def show_landed(self) -> None:
        """Lead the records of the planes that have landed since the last time to their places."""
        self._show_pages(self._landing.take())
        if not self._unshown:
            return
        unshown = list(self._unshown.items())
        self._handles.sync(self.path)
        with self._handles.use(self.path) as fd:
            for page, strips in unshown:
                self._patch(fd, page, *zip(*strips, strict=True))
                with self._lock:
                    if self._unshown[page] is strips:
                        del self._unshown[page]

    def _show_pages(self, pages: NDArray[np.int64]) -> None:
        if not len(pages):
            return
        self._landing.mark(pages)  # first: one that comes again meanwhile has to be shown again
        try:
            self._lead_to(pages)
        except OSError:
            self._landing.put_back(pages)
            raise

    def _lead_to(self, pages: NDArray[np.int64]) -> None:
        geometry = self.geometry
        ends = {(s.first_row + s.rows) * geometry.pages_in_row - 1 for s in geometry.segments}
        ends |= {0, self._visible * geometry.pages_in_row - 1}
        ends |= self._moved.copy().keys()
        # where they lie, or lead, does not follow from their numbers
        alone = np.isin(pages, list(ends))
        self._handles.sync(self.path)  # pixels before what leads to them
        with self._handles.use(self.path) as fd:
            for offset, records in self._landing.records(pages, alone):
                write_at(fd, [records], offset)
            for page in pages[alone].tolist():
                series = geometry.series_of(page)
                if not series.compressed:
                    starts = [self._plane_at(page) + s for s in series.strip_starts]
                    self._patch(fd, page, starts, series.strip_bytes)

    def write_stored(self, page: int, stored: Sequence[bytes]) -> None:
        """Append the stored strips of a compressed page, then have its record point to them.

        With durable files the next `show_landed` does that, after it has synced the strips.
        """
        counts = [len(s) for s in stored]
        with self._handles.use(self.path) as fd:
            with self._lock:
                offset = self._places.allocate(sum(counts))
                self._stay_ahead(fd)
            starts = [offset + sum(counts[:i]) for i in range(len(counts))]
            write_at(fd, list(stored), offset)
            if not self._handles.durable:
                self._patch(fd, page, starts, counts)
                return
            with self._lock:
                self._unshown[page] = list(zip(starts, counts, strict=True))

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
                at = self._plane_at(page)
                parts = zip(series.strip_bytes, series.strip_starts, strict=True)
                return [read_whole(fd, count, at + start) for count, start in parts]
            strips = self._unshown.get(page)
            if strips is None:
                now = read_at(fd, records.strips_span, self._record_at(page) + records.strips_at)
                strips = records.read_strips(now)
            return [read_whole(fd, count, offset) for offset, count in strips]

    def has(self, page: int) -> bool:
        """Whether a page has a place."""
        there = self.geometry.rows * self.geometry.pages_in_row
        return self._made and page < (there if self._cut_behind is None else self._cut_behind + 1)

    # ------------------------------------------------------------------ inside

    def _plane_at(self, page: int) -> int:
        return self._moved.get(page) or self.geometry.plane_at(page)

    def _records(self, page: int) -> Records:
        return self.geometry.series_of(page).records

    def _record_at(self, page: int) -> int:
        return len(HEADER) if page == 0 else self.geometry.record_at(page)
