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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import compression_of_tag, tiff_codec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.file_sync import sync
from ome_writers.formats.ometiff.tiff_structure import (
    MAX_LEVELS,
    IfdBlock,
    TiffDirectory,
    TiffStructure,
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
    as_numbers,
    expected_tags,
    read_pieces,
)
from ome_writers.untrusted import check_count, open_regular

Numbers = NDArray[np.int64]

_MAX_STRIP_BYTES = 2**31  # decoded


@dataclass(frozen=True)
class Ifd:
    """The IFD of one page, or of a resolution level of it."""

    offset: int
    entries: bytes  # entry count and entries, without next-IFD pointer and out-of-line values
    checksum: int | None  # see `storage.tiff.CHECKSUM`; None if it does not have one
    tile: tuple[int, int] | None  # (y, x) of its tiles; None if it has strips
    strips: list[tuple[int, int]]  # offset and byte count of each strip or tile
    levels: tuple[Ifd, ...] = ()


class _Columns(NamedTuple):
    """Adjacent IFDs of a chain; the first dimension is the page."""

    offsets: Numbers
    next_pointers_at: Numbers  # offsets of the next-IFD pointers
    first_strips: Numbers  # offset of the first strip or tile; 0 without
    ends: Numbers  # of all bytes that the IFDs reference, the description excepted
    levels: Numbers  # offsets of the IFDs of the resolution levels, shape (pages, levels); 0: no such level


class IfdRepair:
    """The IFD chain of a BigTIFF file that this library wrote.

    Raises InvalidFileError if the file is not a little-endian BigTIFF, or its chain is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._foreign: int | None = None  # a page with other tags than this library writes
        self._description_field_at = 0  # where count and offset of the ImageDescription are
        parts: list[_Columns] = []
        with self._open() as fd:
            if read_at(fd, 8, 0) != HEADER[:8]:
                raise InvalidFileError(f"{path}: not a little-endian BigTIFF file.")
            tiff, pages = TiffStructure(fd, path), 0
            for block in tiff.blocks():
                while True:
                    parts.append(self._columns(tiff, block, pages))
                    count = len(parts[-1].offsets)
                    pages += count
                    if count == len(block.offsets):
                        break
                    block = block.without(count, tiff.directory(int(block.offsets[count])))
            if not pages:
                raise InvalidFileError(f"{path}: the file does not have a page.")
            self._find_description(fd, tiff.directory(tiff.first))
        levels = max(part.levels.shape[1] for part in parts)
        padding = [((0, 0), (0, levels - part.levels.shape[1])) for part in parts]
        parts = [
            part._replace(levels=np.pad(part.levels, pad))
            for part, pad in zip(parts, padding, strict=True)
        ]
        self._pages = _Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def __len__(self) -> int:
        """Return the number of pages."""
        return len(self._pages.offsets)

    @property
    def ifds(self) -> Numbers:
        """The offsets of all IFDs, shape (pages, 1 + levels), full resolution first; 0: a page lacks this level."""
        return np.column_stack((self._pages.offsets, self._pages.levels))

    def page(self, number: int) -> Ifd:
        """Return the IFD of a page, with those of its resolution levels."""
        offset, *levels = self.ifds[number].tolist()
        with self._open() as fd:
            tiff = TiffStructure(fd, self.path)
            found = tuple(_read_ifd(fd, tiff, level) for level in levels if level)
            return replace(_read_ifd(fd, tiff, offset), levels=found)

    def refuse_foreign(self) -> None:
        """Check that every page has exactly the tags that this library writes.

        Raises UnsupportedError if a page has other tags, because another program has rewritten the file.
        """
        if self._foreign is not None:
            raise UnsupportedError(
                f"{self.path} cannot be repaired: page {self._foreign} has other TIFF tags than this library writes, "
                f"so another program has rewritten the file. Nothing was changed."
            )

    @property
    def pages_with_pixels(self) -> list[int]:
        """Numbers of the pages with strips of their own; blank pages share strips between the first two IFDs."""
        strips, first = self._pages.first_strips, self._pages.offsets[0]
        found: list[int] = np.flatnonzero((strips >= self._blank_below) | (strips < first)).tolist()
        return found

    @cached_property
    def _blank_below(self) -> int:
        if len(self) > 1:
            return int(self._pages.offsets[1])
        first = self.page(0)
        if first.tile:  # all tiles of a blank page are the same one
            offsets = {offset for offset, _ in first.strips}
            return min(offsets) + (len(offsets) == 1)
        with self._open() as fd:
            length, offset = self._read_description_field(fd)
            ifd = TiffStructure(fd, self.path).directory(first.offset)
        if offset > aligned(_values_end(ifd), 16):
            # the description was moved: its offset no longer bounds the blank plane
            return 0 if self._has_nonzero_pixels(first) else first.strips[0][0] + 1
        # the blank plane follows the extent that was reserved for the first description
        return aligned(offset + aligned(length, 256), 16) + 1

    def truncate_chain(self, pages: int) -> None:
        """End the chain after the first `pages` pages."""
        with self._open(writing=True) as fd:
            write_at(fd, [bytes(8)], int(self._pages.next_pointers_at[pages - 1]))
            sync(fd)
        self._pages = _Columns(*(column[:pages] for column in self._pages))

    def write_description(self, text: bytes) -> None:
        """Replace the ImageDescription by `text` and truncate unreferenced trailing bytes."""
        content = text + b"\0"
        with self._open(writing=True) as fd:
            offset = self._free_offset(fd, len(content))
            write_at(fd, [content], offset)
            sync(fd)
            write_at(fd, [struct.pack("<QQ", len(content), offset)], self._description_field_at)
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
        chosen = np.asarray(kept)
        content = text + b"\0"
        ifds, pointers_at = self._pages.offsets[chosen], self._pages.next_pointers_at[chosen]
        nbytes = pointers_at - ifds  # without the pointer
        steps = -(-(nbytes + 8) // 8) * 8
        offsets, size = np.cumsum(steps) - steps, int(steps.sum())
        with self._open(writing=True) as fd:
            start = self._free_offset(fd, size + len(content), chosen)
            following = [*(start + offsets[1:]).tolist(), 0]
            out = bytearray(size)
            for length in np.unique(nbytes).tolist():
                equal = np.flatnonzero(nbytes == length)
                for number, ifd in zip(
                    equal.tolist(), read_pieces(fd, ifds[equal], length), strict=True
                ):
                    at = int(offsets[number])
                    out[at : at + length] = ifd.tobytes()
                    struct.pack_into("<Q", out, at + length, following[number])
            field = self._description_field_at - int(self._pages.offsets[0])
            struct.pack_into("<QQ", out, field, len(content), start + size)
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
        return aligned(max(int(self._pages.ends.max()), offset + length))

    def _free_offset(self, fd: int, nbytes: int, pages: Numbers | None = None) -> int:
        """Return an offset for `nbytes` after `pages` (default: all), clear of the description and current chain."""
        length, description = self._read_description_field(fd)
        ends = self._pages.ends if pages is None else self._pages.ends[pages]
        offset = aligned(int(ends.max()))
        in_use = [(description, description + length)]
        if pages is not None:
            starts, pointers = self._pages.offsets.tolist(), self._pages.next_pointers_at.tolist()
            in_use += zip(starts, (at + 8 for at in pointers), strict=True)
        for begin, end in sorted(in_use):
            if begin < offset + nbytes and end > offset:
                offset = aligned(end)
        return offset

    def _read_description_field(self, fd: int) -> tuple[int, int]:
        """Return length and offset of the ImageDescription."""
        length, offset = struct.unpack("<QQ", read_at(fd, 16, self._description_field_at))
        return length, offset

    def _find_description(self, fd: int, first: TiffDirectory) -> None:
        entries = read_at(fd, first.next_pointer_at - first.offset - 8, first.offset + 8)
        for at in range(0, len(entries), ENTRY_BYTES):
            if struct.unpack_from("<H", entries, at) == (DESCRIPTION,):
                self._description_field_at = first.offset + 8 + at + 4
                return
        raise InvalidFileError(f"{self.path}: the first page has no ImageDescription.")

    def _columns(
        self, tiff: TiffStructure, block: IfdBlock, page: int, *, is_level: bool = False
    ) -> _Columns:
        """Return the IFDs of a block, whose first one is that of `page`, up to one whose levels have other entries."""
        entries = block.first.entries
        offsets = block.offsets
        table = tiff.numbers(block, TILE_OFFSETS if TILE_OFFSETS in entries else STRIP_OFFSETS)
        sizes = tiff.numbers(
            block, TILE_BYTE_COUNTS if TILE_BYTE_COUNTS in entries else STRIP_BYTE_COUNTS
        )
        strips = min(table.shape[1], sizes.shape[1])
        strips_ends = table[:, :strips] + sizes[:, :strips]
        if (table < 0).any() or (sizes < 0).any() or (strips_ends < 0).any():
            raise InvalidFileError(
                f"{self.path}: page {page} or a later one has a strip outside of the file."
            )
        first_strips = table[:, 0] if strips else np.zeros_like(offsets)
        pointers_at = offsets + (block.first.next_pointer_at - block.first.offset)
        ends = np.maximum(pointers_at + 8, strips_ends.max(axis=1, initial=0))
        for tag, entry in entries.items():
            if entry.nbytes > 8 and tag != DESCRIPTION:
                ends = np.maximum(ends, as_numbers(block.values[tag])[:, 0] + entry.nbytes)
        self._note_foreign(block, page, is_level=is_level)
        level_ifds = np.zeros((len(offsets), 0), np.int64)
        if not is_level:
            level_ifds = tiff.numbers(block, SUB_IFDS)
            check_count(
                level_ifds.shape[1],
                f"{self.path}: the number of SubIFDs of the IFD at {block.first.offset}",
                MAX_LEVELS,
            )
        for column in level_ifds.T:
            first = tiff.directory(int(column[0]) % 2**64)
            level = self._columns(
                tiff, tiff.block(first, column[: len(offsets)]), page, is_level=True
            )
            offsets = offsets[: len(level.offsets)]
            ends = np.maximum(ends[: len(offsets)], level.ends)
        count = len(offsets)
        return _Columns(
            offsets, pointers_at[:count], first_strips[:count], ends[:count], level_ifds[:count]
        )

    def _note_foreign(self, block: IfdBlock, page: int, *, is_level: bool) -> None:
        """Keep the number of the page whose block has other tags than this library writes."""
        entries = block.first.entries
        expected = expected_tags(
            first=not (page or is_level),
            reduced=is_level,
            tiled=TILE_OFFSETS in entries,
            checksum=CHECKSUM in entries,
        )
        found = {tag: entry.kind for tag, entry in block.first.entries.items() if tag != SUB_IFDS}
        ifd = block.first
        repeated = 8 + len(ifd.entries) * ENTRY_BYTES != ifd.next_pointer_at - ifd.offset
        if self._foreign is None and (repeated or sorted(found.items()) != sorted(expected)):
            self._foreign = page

    def _has_nonzero_pixels(self, page: Ifd) -> bool:
        with self._open() as fd:
            tiff = TiffStructure(fd, self.path)
            (compression,) = tiff.integers(tiff.directory(page.offset).entries.get(259)).tolist()
            codec = tiff_codec(compression_of_tag(compression))
            for offset, nbytes in page.strips:
                strip = read_at(fd, nbytes, offset)
                if any(codec.decode(strip, _MAX_STRIP_BYTES)):
                    return True
        return False


def _read_ifd(fd: int, tiff: TiffStructure, offset: int) -> Ifd:
    directory = tiff.directory(offset)
    entries = directory.entries
    tile, tags = None, (STRIP_OFFSETS, STRIP_BYTE_COUNTS)
    if TILE_OFFSETS in entries:
        sides = (tiff.integers(entries.get(tag)).tolist() for tag in (TILE_LENGTH, TILE_WIDTH))
        height, width = (side[0] if side else 0 for side in sides)
        tile, tags = (height, width), (TILE_OFFSETS, TILE_BYTE_COUNTS)
    offsets, counts = (tiff.integers(entries.get(tag)).tolist() for tag in tags)
    checksum = tiff.integers(entries.get(CHECKSUM)).tolist()
    return Ifd(
        offset,
        read_at(fd, directory.next_pointer_at - offset, offset),
        checksum[0] if checksum else None,
        tile,
        list(zip(offsets, counts, strict=False)) or [(0, 0)],
    )


def _values_end(ifd: TiffDirectory) -> int:
    """Return the end of an IFD and of its out-of-line values, the description excepted."""
    values = (
        entry.offset + entry.nbytes
        for tag, entry in ifd.entries.items()
        if entry.nbytes > 8 and tag != DESCRIPTION
    )
    return max((ifd.next_pointer_at + 8, *values))
