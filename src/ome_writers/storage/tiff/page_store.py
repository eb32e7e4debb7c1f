"""Planes, strips and IFD pointers of the pages of one file, at one resolution level.

Pixels are written before the IFD that references them, so that readers see either a blank page or a whole frame. A
frame that replaces another is written elsewhere, so that the other one is intact until the IFD is updated.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.positional_io import read_at, read_fully, write_at
from ome_writers.storage.tiff.ifd import HEADER
from ome_writers.storage.tiff.page_visibility import PageVisibility

if TYPE_CHECKING:
    from _thread import RLock

    from ome_writers.storage.file_handles import FileHandles
    from ome_writers.storage.tiff.allocator import Allocator
    from ome_writers.storage.tiff.existing_file import ExistingPages
    from ome_writers.storage.tiff.geometry import Geometry
    from ome_writers.storage.tiff.ifd_encoder import IfdEncoder
    from ome_writers.storage.tiff.ifd_template import IfdTemplate
    from ome_writers.storage.tiff.page_blocks import PageBlock
    from ome_writers.storage.tiff.sparse_file import Preallocation


class PageStore:
    """Reads and writes the pages of one file at one resolution level; thread-safe.

    `lock` guards `allocator` and `preallocation`.
    """

    def __init__(
        self,
        path: Path,
        handles: FileHandles,
        encoder: IfdEncoder,
        geometry: Geometry,
        allocator: Allocator,
        preallocation: Preallocation,
        lock: RLock,
    ) -> None:
        self.chained_rows = 0  # rows that the IFD chain contains
        self.first_ifd = len(HEADER)  # offset of the IFD of the first page at full resolution
        self.path = path
        self._handles = handles
        self._first = encoder.first
        self._is_level = encoder.is_level
        self.geometry = geometry
        self._allocator = allocator
        self._preallocation = preallocation
        self._lock = lock
        self._checksums: dict[int, int] = {}  # of pages whose IFD does not have it yet
        self._visibility = PageVisibility(geometry, encoder, self._checksums)
        self._relocated: dict[int, int] = {}  # offsets of planes that were written more than once
        self._tile_tables: dict[
            int, int
        ] = {}  # offsets of the tables of tile offsets of such planes
        self._blank: set[int] = set()  # uncompressed pages of a reopened file without a frame
        # offset and byte count of the strips of compressed pages whose IFD does not reference them yet
        self._unpublished_strips: dict[int, list[tuple[int, int]]] = {}

    @property
    def appends(self) -> bool:
        """Whether planes are not in their segments: compressed ones, and those that were written more than once."""
        return bool(self._relocated) or any(series.compressed for series in self.geometry.series)

    def restore(self, pages: ExistingPages) -> None:
        """Continue the pages of an existing file, whose IFDs are in the first segment."""
        self._relocated, self._tile_tables = pages.planes, pages.tile_tables
        self._blank = pages.blank
        self._visibility.publish(pages.published)

    def link(self, page: int, following: int | None) -> None:
        """Set the next-IFD pointer of a page, to 0 if `following` is None, with one write of 8 bytes."""
        offset = 0 if following is None else self.geometry.ifd_offset(following)
        at = self._ifd_offset(page) + self._template(page).next_pointer_at
        with self._handles.use(self.path) as fd:
            write_at(fd, [struct.pack("<Q", offset)], at)

    def store(self, block: PageBlock, slots: frozenset[int] | None = None) -> None:
        """Encode and write all pages of a block."""
        if block.series.compressed:
            encode = block.series.kind.codec.encode
            self.write_strips(block.page, [encode(strip) for strip in block.strips()])
        else:
            self.write_planes(block.page, block.buffers(), block.count, block.checksums())

    def write_planes(
        self,
        page: int,
        buffers: Sequence[memoryview | bytes],
        count: int = 1,
        checksums: Sequence[int] = (),
    ) -> None:
        """Write `count` adjacent uncompressed planes from `page` on; `publish_completed` makes them visible."""
        pages = range(page, page + count)
        relocated = self._relocated and not self._relocated.keys().isdisjoint(pages)
        replaces = relocated or self._visibility.is_published(page, count)
        offset, stride = self.geometry.plane_offset(page), self.geometry.series_of(page).stride
        tables = b""
        if replaces:
            series = self.geometry.series_of(page)
            tables_bytes = 8 * len(series.strip_bytes) * count if series.is_tiled else 0
            with self._lock:
                offset = self._allocator.allocate(count * stride + tables_bytes)
            if series.is_tiled:
                planes = offset + stride * np.arange(count)[:, None]
                tables = (planes + np.array(series.strip_starts)).astype("<u8").tobytes()
        try:
            with self._handles.use(self.path) as fd:
                write_at(fd, [*buffers, tables] if tables else buffers, offset)
        except OSError:
            self._visibility.mark_damaged(page, count)
            raise
        if replaces:
            self._relocated.update((page + n, offset + n * stride) for n in range(count))
            self._blank.difference_update(pages)
            if tables:
                at, step = offset + count * stride, len(tables) // count
                self._tile_tables.update((page + n, at + n * step) for n in range(count))
            self._visibility.unpublish(page, count)
        self._checksums.update(zip(pages, checksums, strict=False))
        self._visibility.complete(page, count)

    def write_strips(self, page: int, strips: Sequence[bytes]) -> None:
        """Append the encoded strips of a compressed page, then reference them.

        With durable files `publish_completed` references them, after it has synced the strips.
        """
        counts = [len(s) for s in strips]
        series = self.geometry.series_of(page)
        is_tiled = series.is_tiled
        if series.kind.checksum:
            from ome_writers.storage.tiff.checksums import checksum_of

            self._checksums[page] = checksum_of(strips)
        with self._handles.use(self.path) as fd:
            with self._lock:
                nbytes = sum(counts)
                padding = -nbytes % 8 if is_tiled else 0
                tables_bytes = 16 * len(counts) if is_tiled else 0
                offset = self._allocator.allocate(nbytes + padding + tables_bytes)
                self._preallocation.extend(fd)
            offsets = list(itertools.accumulate(counts[:-1], initial=offset))
            content = list(strips)
            if is_tiled:
                content += [bytes(padding), np.array([offsets, counts], "<u8").tobytes()]
                tables_at = offset + nbytes + padding
                offsets, counts = [tables_at], [tables_at + tables_bytes // 2]
            write_at(fd, content, offset)
            if not self._handles.durable:
                self._reference(fd, page, offsets, counts)
                self._checksums.pop(page, None)
                return
            with self._lock:
                self._unpublished_strips[page] = list(zip(offsets, counts, strict=True))

    def publish_completed(self) -> None:
        """Make all pages visible that were written since the last call."""
        self._publish(self._visibility.pop_completed())
        if not self._unpublished_strips:
            return
        unpublished = list(self._unpublished_strips.items())
        self._handles.sync(self.path)
        with self._handles.use(self.path) as fd:
            for page, strips in unpublished:
                self._reference(fd, page, *zip(*strips, strict=True))
                with self._lock:
                    if self._unpublished_strips[page] is strips:
                        del self._unpublished_strips[page]
                        self._checksums.pop(page, None)

    def publish_remaining(self, pages: NDArray[np.int64]) -> None:
        """Make those of `pages` (sorted) visible that are not, with or without a frame."""
        if self._is_level:
            pages = self.geometry.pages_of_series(pages)
        self._publish(self._visibility.publishable(pages))

    def read_strips(self, page: int) -> list[bytes]:
        """Return the encoded strips of a page, published or not; shorter or empty where the file ends."""
        series = self.geometry.series_of(page)
        with self._handles.use(self.path, writing=False) as fd:
            if page in self._blank:
                return [bytes(count) for count in series.strip_bytes]
            if not series.compressed:
                plane = self._plane_offset(page)
                parts = zip(series.strip_bytes, series.strip_starts, strict=True)
                return [read_fully(fd, count, plane + start) for count, start in parts]
            strips = self._unpublished_strips.get(page)
            if strips is None:
                template = self._template(page)
                at = self._ifd_offset(page) + template.strips_at
                strips = template.decode_strips(read_at(fd, template.strips_span, at))
            if series.is_tiled:
                size = 8 * len(series.strip_bytes)
                tables = [np.frombuffer(read_fully(fd, size, t), "<u8").tolist() for t in strips[0]]
                strips = list(zip(*tables, strict=True))
            return [read_fully(fd, count, offset) for offset, count in strips]

    def _publish(self, pages: NDArray[np.int64]) -> None:
        if not len(pages):
            return
        self._visibility.publish(pages)  # first: a page that is replaced meanwhile is unpublished
        try:
            self._write_ifds(pages)
        except OSError:
            self._visibility.retry(pages)
            raise
        for page in pages.tolist() if self._checksums else ():
            if self._visibility.is_published(page, 1):
                self._checksums.pop(page, None)

    def _write_ifds(self, pages: NDArray[np.int64]) -> None:
        geometry = self.geometry
        per_row = geometry.pages_per_row
        # IFDs whose next-IFD pointer or plane does not follow from the page number are patched one by one
        patched = set(self._relocated.copy())
        if not self._is_level:
            patched |= {(s.first_row + s.rows) * per_row - 1 for s in geometry.segments}
            patched |= {0, self.chained_rows * per_row - 1}
        exclude = np.isin(pages, list(patched))
        self._handles.sync(self.path)  # pixels before the IFDs that reference them
        with self._handles.use(self.path) as fd:
            for offset, ifds in self._visibility.encode_ifds(pages, exclude):
                write_at(fd, [ifds], offset)
            for page in pages[exclude].tolist():
                series = geometry.series_of(page)
                if series.compressed:
                    continue
                if series.is_tiled:  # its byte counts do not change
                    at, template = self._ifd_offset(page), self._template(page)
                    table = self._tile_tables.get(page) or at + template.tables_at
                    self._reference(fd, page, [table])
                    continue
                offsets = [self._plane_offset(page) + s for s in series.strip_starts]
                self._reference(fd, page, offsets, series.strip_bytes)

    def _reference(
        self, fd: int, page: int, offsets: Sequence[int], counts: Sequence[int] = ()
    ) -> None:
        """Make the IFD of a page reference other strips, by default of the same sizes, with one write."""
        template, ifd = self._template(page), self._ifd_offset(page)
        if template.checksum_at:
            from ome_writers.storage.tiff.checksums import write_reference

            checksum = self._checksums.get(page, self.geometry.series_of(page).blank_checksum)
            with self._lock:
                write_reference(fd, ifd, template, offsets, counts, checksum)
            return
        content, at = struct.pack(f"<{len(offsets)}Q", *offsets), ifd + template.strips_at
        if counts:
            current = read_at(fd, template.strips_span, at)
            content = template.encode_strips(current, offsets, counts)
        write_at(fd, [content], at)

    def _plane_offset(self, page: int) -> int:
        return self._relocated.get(page) or self.geometry.plane_offset(page)

    def _template(self, page: int) -> IfdTemplate:
        is_first = page == 0 and not self._is_level
        return self._first if is_first else self.geometry.series_of(page).template

    def _ifd_offset(self, page: int) -> int:
        is_first = page == 0 and not self._is_level
        return self.first_ifd if is_first else self.geometry.ifd_offset(page)
