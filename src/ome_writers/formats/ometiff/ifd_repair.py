"""Read, truncate and rewrite the IFD chain of a BigTIFF file that no writer has open.

Each change that a reader or a crash could observe is one small write. Sources: TIFF 6.0, section 2; the BigTIFF design
(8-byte offsets, 20-byte entries, version 43).
"""

# Longer than 300 lines: one chain, as it is read and as it is rewritten.
from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ome_writers.codecs import tiff_codec
from ome_writers.decompression import compression_of_tag
from ome_writers.errors import UnsupportedError
from ome_writers.file_sync import sync
from ome_writers.formats.ometiff.tiff_structure import (
    FIELD_BYTES,
    MAX_ENTRIES,
    MAX_LEVELS,
    LoopDetector,
)
from ome_writers.storage import open_file, read_at, write_at
from ome_writers.storage.tiff import (
    CHECKSUM,
    DESCRIPTION,
    ENTRY_BYTES,
    HEADER,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    SUB_IFDS,
    TILE_BYTE_COUNTS,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
    aligned,
    expected_tags,
)
from ome_writers.untrusted import open_regular

# of tiles to that of strips
_STRIP_TAGS = {STRIP_OFFSETS: STRIP_OFFSETS, STRIP_BYTE_COUNTS: STRIP_BYTE_COUNTS}
_STRIP_TAGS |= {TILE_OFFSETS: STRIP_OFFSETS, TILE_BYTE_COUNTS: STRIP_BYTE_COUNTS}
_MAX_STRIP_BYTES = 2**31  # decoded


@dataclass(frozen=True)
class Ifd:
    """The IFD of one page, or of a resolution level of it."""

    offset: int
    entries: bytes  # entry count and entries, without next-IFD pointer and out-of-line values
    strip_tables: tuple[bytes, bytes]  # offsets and byte counts of the strips or tiles; not empty
    end: int  # of all bytes that the IFD references, the description excepted
    levels: tuple[Ifd, ...] = ()

    @property
    def strips(self) -> list[tuple[int, int]]:
        """Offset and byte count of each strip or tile; not empty."""
        offsets, counts = (struct.unpack(f"<{len(t) // 8}Q", t) for t in self.strip_tables)
        return list(zip(offsets, counts, strict=False))

    @property
    def tile(self) -> tuple[int, int] | None:
        """(y, x) of its tiles; None if it has strips."""
        values = {tag: value for tag, _, value, _ in _fields(self.entries)}
        if TILE_OFFSETS not in values:
            return None
        return values.get(TILE_LENGTH, 0), values.get(TILE_WIDTH, 0)

    @property
    def checksum(self) -> int | None:
        """See `storage.tiff.CHECKSUM`; None if the page does not have one."""
        found = (
            value & 0xFFFFFFFF for tag, _, value, _ in _fields(self.entries) if tag == CHECKSUM
        )
        return next(found, None)

    @property
    def next_pointer_at(self) -> int:
        """Offset of the next-IFD pointer."""
        return self.offset + len(self.entries)

    @property
    def values_end(self) -> int:
        """End of the IFD and of its out-of-line values, the description excepted."""
        values = (
            value + nbytes
            for tag, nbytes, value, _ in _fields(self.entries)
            if nbytes > 8 and tag != DESCRIPTION
        )
        return max((self.next_pointer_at + 8, *values))


class IfdRepair:
    """The IFD chain of a BigTIFF file that this library wrote.

    Raises OSError if the file cannot be read, is not a little-endian BigTIFF, or its chain is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as fd:
            head = read_at(fd, len(HEADER), 0)
            if head[:8] != HEADER[:8] or len(head) < len(HEADER):
                raise OSError(f"{path}: not a little-endian BigTIFF file.")
            self.pages: list[Ifd] = []
            loops = LoopDetector(path)
            (offset,) = struct.unpack_from("<Q", head, 8)
            while offset:
                loops.visit(offset)
                page = self._read_ifd(fd, offset)
                self.pages.append(page)
                (offset,) = struct.unpack(
                    "<Q", read_at(fd, 8, page.next_pointer_at).ljust(8, b"\0")
                )

    def refuse_foreign(self) -> None:
        """Check that every page has exactly the tags that this library writes.

        Raises UnsupportedError if a page has other tags, because another program has rewritten the file.
        """
        for number, page in enumerate(self.pages):
            expected = [
                expected_tags(
                    first=number == 0 and ifd is page,
                    reduced=ifd is not page,
                    tiled=ifd.tile is not None,
                    checksum=ifd.checksum is not None,
                )
                for ifd in (page, *page.levels)
            ]
            if [_tags(ifd) for ifd in (page, *page.levels)] != expected:
                raise UnsupportedError(
                    f"{self.path} cannot be repaired: page {number} has other TIFF tags than this library writes, so "
                    f"another program has rewritten the file. Nothing was changed."
                )

    @property
    def pages_with_pixels(self) -> list[int]:
        """Numbers of the pages with strips of their own; blank pages share strips between the first two IFDs."""
        first, below = self.pages[0].offset, self._blank_below
        offsets = map(_first_offset, self.pages)
        return [n for n, offset in enumerate(offsets) if offset >= below or offset < first]

    @cached_property
    def _blank_below(self) -> int:
        if len(self.pages) > 1:
            return self.pages[1].offset
        first = self.pages[0]
        if first.tile:  # all tiles of a blank page are the same one
            offsets = {offset for offset, _ in first.strips}
            return min(offsets) + (len(offsets) == 1)
        with self._open() as fd:
            length, offset = self._read_description_field(fd)
        if offset > aligned(first.values_end, 16):
            # the description was moved: its offset no longer bounds the blank plane
            return 0 if self._has_nonzero_pixels(first) else first.strips[0][0] + 1
        # the blank plane follows the extent that was reserved for the first description
        return aligned(offset + aligned(length, 256), 16) + 1

    def truncate_chain(self, pages: int) -> None:
        """End the chain after the first `pages` pages."""
        with self._open(writing=True) as fd:
            write_at(fd, [bytes(8)], self.pages[pages - 1].next_pointer_at)
            sync(fd)
        del self.pages[pages:]

    def write_description(self, text: bytes) -> None:
        """Replace the ImageDescription by `text` and truncate unreferenced trailing bytes."""
        content = text + b"\0"
        with self._open(writing=True) as fd:
            offset = self._free_offset(fd, len(content))
            write_at(fd, [content], offset)
            sync(fd)
            write_at(fd, [struct.pack("<QQ", len(content), offset)], self._description_field_at())
            sync(fd)
            os.ftruncate(fd, aligned(offset + len(content)))

    @property
    def trailing_bytes(self) -> int:
        """Number of bytes at the end of the file that neither a page nor the description references."""
        with self._open() as fd:
            return max(0, os.fstat(fd).st_size - self._referenced_end(fd))

    def trim_trailing_bytes(self) -> None:
        """Truncate the file after the last byte that a page or the description references."""
        with self._open(writing=True) as fd:
            end = self._referenced_end(fd)
            if end < os.fstat(fd).st_size:
                os.ftruncate(fd, end)

    def rewrite_chain(self, kept: Sequence[int], text: bytes) -> None:
        """Replace the chain by one of the pages `kept`, with `text` as ImageDescription.

        The new chain is written after all referenced bytes; one write of the header's pointer then switches to it.
        """
        pages = [self.pages[number] for number in kept]
        content = text + b"\0"
        offsets, size = [], 0
        for page in pages:
            offsets.append(size)
            size += aligned(len(page.entries) + 8)
        with self._open(writing=True) as fd:
            start = self._free_offset(fd, size + len(content), pages)
            out = bytearray(size)
            for number, (page, offset) in enumerate(zip(pages, offsets, strict=True)):
                entries = bytearray(page.entries)
                if number == 0:
                    field = self._description_field_at() - self.pages[0].offset
                    struct.pack_into("<QQ", entries, field, len(content), start + size)
                following = start + offsets[number + 1] if number + 1 < len(pages) else 0
                out[offset : offset + len(entries) + 8] = entries + struct.pack("<Q", following)
            write_at(fd, [memoryview(out), content], start)
            sync(fd)
            write_at(fd, [struct.pack("<Q", start)], 8)
            sync(fd)
            os.ftruncate(fd, aligned(start + size + len(content)))

    @contextmanager
    def _open(self, *, writing: bool = False) -> Iterator[int]:
        fd = open_file(self.path) if writing else open_regular(self.path)
        try:
            yield fd
        finally:
            os.close(fd)

    def _referenced_end(self, fd: int) -> int:
        length, offset = self._read_description_field(fd)
        return aligned(max(*(page.end for page in self.pages), offset + length))

    def _free_offset(self, fd: int, nbytes: int, pages: Sequence[Ifd] = ()) -> int:
        """Return an offset for `nbytes` after `pages` (default: all), clear of the description and current chain."""
        length, description = self._read_description_field(fd)
        offset = aligned(max(page.end for page in pages or self.pages))
        in_use = [(description, description + length)]
        if pages:
            in_use += [(page.offset, page.next_pointer_at + 8) for page in self.pages]
        for begin, end in sorted(in_use):
            if begin < offset + nbytes and end > offset:
                offset = aligned(end)
        return offset

    def _read_description_field(self, fd: int) -> tuple[int, int]:
        """Return length and offset of the ImageDescription."""
        length, offset = struct.unpack("<QQ", read_at(fd, 16, self._description_field_at()))
        return length, offset

    def _description_field_at(self) -> int:
        """Return where count and offset of the ImageDescription are stored, side by side."""
        first = self.pages[0]
        for at in range(8, len(first.entries), ENTRY_BYTES):
            if struct.unpack_from("<H", first.entries, at) == (DESCRIPTION,):
                return first.offset + at + 4
        raise OSError(f"{self.path}: the first page has no ImageDescription.")

    def _read_ifd(self, fd: int, offset: int, *, is_level: bool = False) -> Ifd:
        (count,) = struct.unpack("<Q", read_at(fd, 8, offset).ljust(8, b"\xff"))
        if count > MAX_ENTRIES:
            raise OSError(
                f"{self.path}: the IFD at offset {offset} has {count} entries, more than {MAX_ENTRIES}."
            )
        entries = read_at(fd, 8 + count * ENTRY_BYTES, offset)
        if len(entries) < 8 + count * ENTRY_BYTES:
            raise OSError(f"{self.path}: the file ends within the IFD at offset {offset}.")
        tables = self._strip_tables(fd, entries, offset)
        offsets = [] if is_level else self._level_offsets(fd, entries, offset)
        levels = tuple(self._read_ifd(fd, level, is_level=True) for level in offsets)
        ifd = Ifd(offset, entries, tables, 0, levels)
        strips_end = max(start + nbytes for start, nbytes in ifd.strips)
        return replace(ifd, end=max(strips_end, ifd.values_end, *(level.end for level in levels)))

    def _level_offsets(self, fd: int, entries: bytes, offset: int) -> list[int]:
        """Return the offsets of the IFDs of the resolution levels of the page whose IFD is at `offset`."""
        fields = {field[0]: field for field in _fields(entries)}
        if SUB_IFDS not in fields:
            return []
        _, nbytes, value, inline = fields[SUB_IFDS]
        if nbytes > 8 * MAX_LEVELS:
            raise OSError(
                f"{self.path}: the IFD at offset {offset} has {nbytes // 8} SubIFDs, more than {MAX_LEVELS}."
            )
        table = read_at(fd, nbytes, value) if nbytes > 8 else inline
        return list(struct.unpack_from(f"<{len(table) // 8}Q", table))

    def _strip_tables(self, fd: int, entries: bytes, offset: int) -> tuple[bytes, bytes]:
        """Return the offsets and byte counts of the strips or tiles of the IFD at `offset`."""
        tables: dict[int, bytes] = {}
        for tag, nbytes, value, inline in _fields(entries):
            if tag in _STRIP_TAGS:
                if nbytes > 8 and value + nbytes > os.fstat(fd).st_size:
                    raise OSError(
                        f"{self.path}: the file ends within the strip table of the IFD at offset {offset}."
                    )
                table = read_at(fd, nbytes, value) if nbytes > 8 else inline
                tables[_STRIP_TAGS[tag]] = table[: len(table) // 8 * 8]
        if not tables.get(STRIP_OFFSETS) or not tables.get(STRIP_BYTE_COUNTS):
            return bytes(8), bytes(8)
        return tables[STRIP_OFFSETS], tables[STRIP_BYTE_COUNTS]

    def _has_nonzero_pixels(self, page: Ifd) -> bool:
        compression = next(v & 0xFFFF for tag, _, v, _ in _fields(page.entries) if tag == 259)
        codec = tiff_codec(compression_of_tag(compression))
        with self._open() as fd:
            for offset, nbytes in page.strips:
                strip = read_at(fd, nbytes, offset)
                if any(codec.decode(strip, _MAX_STRIP_BYTES)):
                    return True
        return False


def _first_offset(ifd: Ifd) -> int:
    """Return the offset of the first strip or tile."""
    offset: int = struct.unpack_from("<Q", ifd.strip_tables[0])[0]
    return offset


def _tags(ifd: Ifd) -> list[tuple[int, int]]:
    """Return tags and field types of an IFD, without that of the resolution levels."""
    tags = [entry[:2] for entry in struct.iter_unpack("<HHQQ", ifd.entries[8:])]
    return [(tag, type_) for tag, type_ in tags if tag != SUB_IFDS]


def _fields(entries: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, number of bytes, and value or offset (as a number and as bytes) of each entry of an IFD."""
    for at in range(8, len(entries), ENTRY_BYTES):
        tag, type_, number, value = struct.unpack_from("<HHQQ", entries, at)
        yield tag, FIELD_BYTES.get(type_, 1) * number, value, entries[at + 12 : at + 20]
