"""One BigTIFF file whose IFD chain is valid at every moment.

Each change that a reader can observe is one small write, done last: that of the pointer to what was written before. So
readers that poll, and readers of a file whose writer was killed, find the old state or the new one. Durable files are
synced before the pointer is written.
"""

# Longer than 300 lines: one class, with all that happens to a file.

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.file_sharing import truncate
from ome_writers.locks import new_lock
from ome_writers.storage.positional_io import make_sparse, patch_at, write_at
from ome_writers.storage.tiff.allocator import Allocator, Extent
from ome_writers.storage.tiff.ifd import HEADER, aligned
from ome_writers.storage.tiff.ifd_chain import IfdChainCopy
from ome_writers.storage.tiff.page_store import PageStore
from ome_writers.storage.tiff.sparse_file import Preallocation, extend_file

if TYPE_CHECKING:
    from ome_writers.storage.file_handles import FileHandles
    from ome_writers.storage.tiff.ifd_encoder import IfdEncoder

    Pages = NDArray[np.int64]


class TiffFile:
    """The header, ImageDescription and IFD chain of one file; its `pages` and their `levels` have the pixels.

    The file is created by the first `write_description`, which then precedes the IFDs, or by the first access to a
    page.
    """

    def __init__(self, path: Path, encoder: IfdEncoder, handles: FileHandles) -> None:
        self.path = path
        self.geometry = encoder.geometry.without_segments()
        self._encoder = encoder
        self._handles = handles
        self._first = encoder.first
        self._capacity = 0  # reserved for the first ImageDescription
        self._lock = new_lock()  # of all that follows
        self._allocator = Allocator()
        self._preallocation = Preallocation(self._allocator, enabled=self.geometry.grows)
        self.stores = [
            PageStore(path, handles, *part, self._allocator, self._preallocation, self._lock)
            for part in zip(
                (encoder, *encoder.levels), (self.geometry, *self.geometry.levels), strict=True
            )
        ]
        self.pages, *self.levels = self.stores
        self._first_ifd = len(HEADER)
        self._created = False
        self._existing: tuple[int, Pages, Pages] | None = None  # see `reopen`
        self._last_page: int | None = None  # set by `finish`
        self._final_pages: NDArray[np.int64] | None = None  # from `finish` to `truncate`
        self._single_file = False

    # ------------------------------------------------------------------ ImageDescription

    def write_description(self, text: bytes) -> None:
        """Replace the ImageDescription of the first page."""
        content = text + b"\0"
        with self._lock:
            if not self._created:
                self._create(content)
                return
            final = self._final_pages
            if final is not None and self._single_file and self._chain_has_more_than(final):
                self._switch_chain(final, content)
                return
            extent = self._allocator.allocate_description(
                len(content),
                spare=len(content) // 4 if self.geometry.grows else 0,
                below_end=final is not None,  # the file is about to be truncated
            )
            with self._handles.use(self.path) as fd:
                self._preallocation.extend(fd)
                write_at(fd, [content], extent.offset)
            self._handles.sync(self.path)
            at = self._first_ifd + self._first.description_at
            self._write_numbers(at, len(content), extent.offset)
            self._allocator.set_description(extent)
        self._handles.sync(self.path)

    def patch_description(self, offset: int, old: bytes, new: bytes) -> None:
        """Overwrite bytes of the ImageDescription if `old` is at `offset`."""
        with self._lock:
            extent = self._allocator.description
            if self._created and offset + len(new) <= extent.capacity:
                with self._handles.use(self.path) as fd:
                    patch_at(fd, extent.offset + offset, old, new)
        self._handles.sync(self.path)

    # ------------------------------------------------------------------ IFD chain

    @property
    def chained_pages(self) -> int:
        """Number of pages that the chain has contained at most."""
        return self.pages.chained_rows * self.geometry.pages_per_row

    def has_page(self, page: int) -> bool:
        """Whether a page is allocated."""
        allocated = self.geometry.rows * self.geometry.pages_per_row
        return self._created and page < (
            allocated if self._last_page is None else self._last_page + 1
        )

    def ensure_created(self) -> None:
        with self._lock:
            if not self._created and self._existing is None:
                self._create(None)

    def reopen(self, rows: int, pages: Pages, ifds: Pages) -> None:
        """Continue an existing file: the first description is written with a new start; see `append_start`."""
        self._existing = rows, pages, ifds

    def allocate_page(self, page: int) -> None:
        """Allocate `page` and all rows before it."""
        with self._lock:
            if not self._created:
                self._create(None)
            while page >= self.geometry.rows * self.geometry.pages_per_row:
                segment = self.geometry.next_segment(self._allocator.end)
                with self._handles.use(self.path) as fd:
                    for offset, ifds in self._encoder.blank_ifds(segment, self._capacity):
                        write_at(fd, [ifds], offset)
                    self._allocator.end = segment.end
                    self._preallocation.extend(fd)
                # last, so that an exception before does not leave a half-written segment in use
                self.geometry.append_segment(segment)

    def extend_chain(self, rows: int) -> None:
        """Extend the chain to `rows` rows, unless it already has as many."""
        visible = self.pages.chained_rows
        if rows <= visible:
            return
        self.allocate_page(rows * self.geometry.pages_per_row - 1)
        with self._lock:
            per_row = self.geometry.pages_per_row
            joints = [s.first_row for s in self.geometry.segments if visible < s.first_row < rows]
            self.pages.link(rows * per_row - 1, None)
            for row in reversed(joints):
                self.pages.link(row * per_row - 1, row * per_row)
            self._handles.sync(self.path)
            self.pages.link(visible * per_row - 1, visible * per_row)
            self.pages.chained_rows = rows

    def publish_completed(self) -> None:
        """Make all pages visible that were written since the last call, at full resolution first."""
        for store in self.stores:
            store.publish_completed()

    # ------------------------------------------------------------------ final shapes

    def finish(self, shapes: Sequence[Sequence[int]], *, single_file: bool) -> None:
        """Set the final shapes, to which the next description refers.

        A single file gets a chain of the remaining pages at the moment of that description, so that the planes of the
        description and the pages always agree. In a set, where the metadata of other files refers to this one too,
        pages keep their numbers, and `truncate` cuts the chain after the last one.
        """
        pages = self.geometry.pages_within(shapes)
        if not self._created:
            return
        try:
            for store in self.stores:
                store.publish_remaining(pages)
        finally:  # the next description refers to these pages, even if they could not be published
            with self._lock:
                self._preallocation.enabled = False
                self._last_page = int(pages[-1])
                self._final_pages, self._single_file = pages, single_file
                if self._can_truncate():
                    self._allocator.end = self._planes_end()  # no reader has seen what follows

    @property
    def truncate_affects_readers(self) -> bool:
        """Whether `truncate` removes bytes or pages that a reader may just have found."""
        if self._final_pages is None:
            return False
        if self._chain_exceeds(self._final_pages):
            return True
        return self._can_truncate() and self._allocator.has_retired_extent(self._truncated_size())

    def truncate(self, deadline: float) -> None:
        """Cut the chain and the file after what the current description refers to.

        Truncation waits for other processes to close the file, until `deadline` (`time.monotonic`).
        """
        with self._lock:
            if self._final_pages is None:
                return
            if self._chain_exceeds(self._final_pages):
                self.pages.link(int(self._final_pages[-1]), None)
                self._handles.sync(self.path)
            if self._can_truncate():
                self._allocator.end = self._truncated_size()
                self._allocator.drop_retired()
            end = self._allocator.end
            if os.stat(self.path).st_size > end:
                timeout_s = deadline - time.monotonic()
                with self._handles.use_exclusively(self.path, timeout_s=timeout_s) as (fd, _):
                    truncate(fd, end)  # otherwise unreferenced bytes remain
            self._final_pages = None
        self._handles.sync(self.path)

    def _chain_exceeds(self, pages: NDArray[np.int64]) -> bool:
        """Whether the chain continues after the last of `pages`."""
        return self._first_ifd == self.pages.first_ifd and self.chained_pages > int(pages[-1]) + 1

    def _chain_has_more_than(self, pages: NDArray[np.int64]) -> bool:
        return self._first_ifd == self.pages.first_ifd and self.chained_pages > len(pages)

    def _can_truncate(self) -> bool:
        """Whether only unused planes follow the last final page."""
        assert self._last_page is not None
        geometry = self.geometry
        if any(store.appends for store in self.stores):
            return False
        return geometry.segment_of(self._last_page) is geometry.segments[-1]

    def _planes_end(self) -> int:
        last = self._last_page or 0
        return aligned(self.geometry.plane_offset(last) + self.geometry.series_of(last).stride)

    def _truncated_size(self) -> int:
        return max(self._planes_end(), self._allocator.used_end())  # only extents since `finish`

    def _switch_chain(self, pages: NDArray[np.int64], description: bytes) -> None:
        """Switch to a chain of `pages` with another description, by one write of the header's pointer.

        The previous chain stays intact for readers that have begun to follow it.
        """
        chain = IfdChainCopy(self.geometry, self._first, pages, self.pages.first_ifd)
        size = aligned(len(description))
        offset = self._allocator.allocate(size + chain.nbytes)
        with self._handles.use(self.path) as fd:
            write_at(fd, [description], offset)
            for at, ifds in chain.encode(fd, offset + size, (len(description), offset)):
                write_at(fd, [ifds], at)
        self._handles.sync(self.path)
        self._write_numbers(8, offset + size)
        self._first_ifd = offset + size
        self._allocator.set_description(self._allocator.add_extent(offset, size))
        self._allocator.add_extent(offset + size, chain.nbytes)
        self._handles.sync(self.path)

    # ------------------------------------------------------------------ creation

    def _create(self, description: bytes | None) -> None:
        """Write header, description, IFDs and blank strips; size the file for all planes."""
        if self._existing is not None:
            self._append_start(description or b"", *self._existing)
            return
        description_offset = len(HEADER) + self._first.nbytes
        self._capacity = aligned(len(description or b""), 256)
        head = self._encoder.head(self._capacity)
        self.geometry.clear_segments()  # an exception may have ended an earlier attempt
        self.geometry.append_segment(head.segment)
        self._allocator.reset(Extent(description_offset, self._capacity), head.segment.end)
        self.pages.chained_rows = 1
        parts = [head.start, bytes(self._capacity)]
        if description is not None:
            at = len(HEADER) + self._first.description_at
            pointer = struct.pack("<QQ", len(description), description_offset)
            padded = description.ljust(self._capacity, b"\0")
            parts = [head.start[:at], pointer, head.start[at + 16 :], padded]
        with self._handles.use(self.path, create=True) as fd:
            make_sparse(fd)
            # ext4 flushes a file that was truncated to zero when it is closed, so truncate only if necessary
            if os.fstat(fd).st_size:
                os.ftruncate(fd, 0)
            for offset, ifds in head.ifds or self._encoder.blank_ifds(head.segment, self._capacity):
                write_at(fd, [ifds], offset)
            extend_file(fd, head.segment.end)
            # the header last: if the process is killed before, the file is not a TIFF yet, and not a damaged one
            start = memoryview(parts[0])[len(HEADER) :]
            write_at(fd, [start, *parts[1:], head.blank_strips], len(HEADER))
            write_at(fd, [HEADER], 0)
            self._preallocation.file_bytes = head.segment.end
            self._preallocation.extend(fd)
        if self.geometry.grows:
            self.pages.link(self.geometry.pages_per_row - 1, None)
        self._handles.sync(self.path)
        self._created = True

    def _append_start(self, description: bytes, rows: int, pages: Pages, ifds: Pages) -> None:
        from ome_writers.storage.tiff.existing_file import append_start

        with self._handles.use(self.path) as fd:
            start = append_start(fd, self.geometry, description, rows, pages, ifds)
            self._handles.sync(self.path)
            write_at(fd, [struct.pack("<Q", start.offset)], len(HEADER) - 8)
        self._handles.sync(self.path)
        self.geometry.clear_segments()
        self.geometry.append_segment(start.segment)
        for store, existing in zip(self.stores, start.pages, strict=True):
            store.restore(existing)
        self._encoder, self._capacity = start.encoder, start.description.capacity
        self._first_ifd = self.pages.first_ifd = start.offset
        self._allocator.reset(start.description, start.segment.end)
        self._preallocation.file_bytes = start.segment.end
        self.pages.chained_rows = rows
        self._created, self._existing = True, None

    def _write_numbers(self, at: int, *numbers: int) -> None:
        """Write adjacent 8-byte numbers with one write."""
        with self._handles.use(self.path) as fd:
            write_at(fd, [struct.pack(f"<{len(numbers)}Q", *numbers)], at)
