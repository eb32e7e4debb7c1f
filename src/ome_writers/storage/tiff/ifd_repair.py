"""The chain of directories of a file that nobody writes any more: looked at, cut, and laid anew.

Each change that a reader, or a crash, can notice is one small write. Sources: TIFF 6.0, section 2; the BigTIFF design
(8-byte offsets, 20-byte entries, version 43).
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.storage.positional_io import open_file, read_at, write_at
from ome_writers.storage.tiff.ifd import (
    DESCRIPTION,
    ENTRY_BYTES,
    FIRST_PAGE_TAGS,
    HEADER,
    PAGE_TAGS,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    aligned,
)
from ome_writers.untrusted import LoopDetector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Directory", "IfdRepair"]

# bytes of a value, by the type of an entry
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}
_MOST_ENTRIES = 4096


@dataclass(frozen=True)
class Directory:
    """One page: where its directory stands, its bytes without what follows, its first strip, and its farthest byte."""

    at: int
    entries: bytes
    strip: int
    end: int

    @property
    def next_at(self) -> int:
        """Where the pointer to the next directory stands."""
        return self.at + len(self.entries)


class IfdRepair:
    """The pages of a BigTIFF of this library.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    OSError
        If it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as fd:
            head = read_at(fd, len(HEADER), 0)
            if head[:8] != HEADER[:8] or len(head) < len(HEADER):
                raise OSError(f"{path} is no little-endian BigTIFF.")
            self.pages: list[Directory] = []
            loops = LoopDetector(path)
            (at,) = struct.unpack_from("<Q", head, 8)
            while at:
                loops.visit(at)
                page = self._read(fd, at)
                self.pages.append(page)
                (at,) = struct.unpack("<Q", read_at(fd, 8, page.next_at).ljust(8, b"\0"))

    def refuse_foreign(self) -> None:
        """Check that each page has the entries that this library's engine writes, and no others.

        Raises
        ------
        UnsupportedError
            If one has not: another program has rewritten the file.
        """
        for number, page in enumerate(self.pages):
            found = [entry[:2] for entry in struct.iter_unpack("<HHQQ", page.entries[8:])]
            if found != (FIRST_PAGE_TAGS if number == 0 else PAGE_TAGS):
                raise UnsupportedError(
                    f"{self.path} cannot be repaired: the tags of page {number} are not those that this library "
                    f"writes. Another program has rewritten it; nothing was changed."
                )

    def landed(self, number: int) -> bool:
        """Whether a page has pixels of its own: strips that stand for others lie before all directories but one."""
        return number < len(self.pages) and self.pages[number].strip >= self._blank_below

    @cached_property
    def _blank_below(self) -> int:
        if len(self.pages) > 1:
            return self.pages[1].at
        first = self.pages[0]
        with self._open() as fd:
            length, at = struct.unpack("<QQ", read_at(fd, 16, self._description_at()))
        if at > first.strip:
            return 0  # it was described anew: nothing tells
        return aligned(at + aligned(length, 256), 16) + 1  # behind the room that was made for it

    def cut(self, pages: int) -> None:
        """Have the chain end behind the first `pages` pages."""
        with self._open() as fd:
            write_at(fd, [bytes(8)], self.pages[pages - 1].next_at)
            os.fsync(fd)
        del self.pages[pages:]

    def describe(self, text: bytes) -> None:
        """Make `text` the description, and give back the room that no page has."""
        content = text + b"\0"
        with self._open() as fd:
            entry = self._description_at()
            at = self._room(fd, len(content))
            write_at(fd, [content], at)
            os.fsync(fd)
            write_at(fd, [struct.pack("<QQ", len(content), at)], entry)
            os.fsync(fd)
            os.ftruncate(fd, aligned(at + len(content)))

    @property
    def room(self) -> int:
        """How many bytes at the end of the file neither a page nor the description has."""
        with self._open() as fd:
            return max(0, os.fstat(fd).st_size - self._needed(fd))

    def trim(self) -> None:
        """Give back the room at the end that neither a page nor the description has."""
        with self._open() as fd:
            if self._needed(fd) < os.fstat(fd).st_size:
                os.ftruncate(fd, self._needed(fd))

    def lay(self, kept: Sequence[int], text: bytes) -> None:
        """Put a new chain of the pages `kept`, the first of which gets `text` as its description, in force at once.

        It lies behind all that stays; then the header is led to it.
        """
        pages = [self.pages[number] for number in kept]
        first = self.pages[0]
        content = text + b"\0"
        places, size = [], 0
        for page in pages:
            places.append(size)
            size += aligned(len(page.entries) + 8)
        with self._open() as fd:
            start = self._room(fd, size + len(content), pages)
            out = bytearray(size)
            for number, (page, place) in enumerate(zip(pages, places, strict=True)):
                entries = bytearray(page.entries)
                if number == 0:
                    at = self._description_at() - first.at
                    struct.pack_into("<QQ", entries, at, len(content), start + size)
                following = start + places[number + 1] if number + 1 < len(pages) else 0
                out[place : place + len(entries) + 8] = entries + struct.pack("<Q", following)
            write_at(fd, [memoryview(out), content], start)
            os.fsync(fd)
            write_at(fd, [struct.pack("<Q", start)], 8)
            os.fsync(fd)
            os.ftruncate(fd, aligned(start + size + len(content)))

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _open(self) -> Iterator[int]:
        fd = open_file(self.path)
        try:
            yield fd
        finally:
            os.close(fd)

    def _needed(self, fd: int) -> int:
        """Return how long the file need be."""
        length, at = struct.unpack("<QQ", read_at(fd, 16, self._description_at()))
        return aligned(max(self._end(), at + length))

    def _end(self, pages: Sequence[Directory] = ()) -> int:
        """Return where what the pages have ends."""
        return max(page.end for page in pages or self.pages)

    def _room(self, fd: int, nbytes: int, pages: Sequence[Directory] = ()) -> int:
        """Return where `nbytes` can be put without touching pages, or the description in force."""
        length, there = struct.unpack("<QQ", read_at(fd, 16, self._description_at()))
        at = aligned(self._end(pages))
        in_the_way = [(there, there + length)]
        if pages:  # the chain in force
            in_the_way += [(page.at, page.next_at + 8) for page in self.pages]
        for begin, end in sorted(in_the_way):
            if begin < at + nbytes and end > at:
                at = aligned(end)
        return at

    def _description_at(self) -> int:
        """Return where count and offset of the description stand, side by side."""
        first = self.pages[0]
        for at in range(8, len(first.entries), ENTRY_BYTES):
            if struct.unpack_from("<H", first.entries, at) == (DESCRIPTION,):
                return first.at + at + 4
        raise OSError(f"The first page of {self.path} has no description.")

    def _read(self, fd: int, at: int) -> Directory:
        (count,) = struct.unpack("<Q", read_at(fd, 8, at).ljust(8, b"\xff"))
        if count > _MOST_ENTRIES:
            raise OSError(f"{self.path} has a directory of {count} entries at {at}.")
        entries = read_at(fd, 8 + count * ENTRY_BYTES, at)
        if len(entries) < 8 + count * ENTRY_BYTES:
            raise OSError(f"{self.path} ends within the directory at {at}.")
        end, found = at + len(entries) + 8, {}
        for entry in range(8, len(entries), ENTRY_BYTES):
            tag, kind, number, value = struct.unpack_from("<HHQQ", entries, entry)
            nbytes = _SIZES.get(kind, 1) * number
            if tag in (STRIP_OFFSETS, STRIP_BYTE_COUNTS):
                table = entries[entry + 12 : entry + 20]
                if nbytes > 8:
                    if value + nbytes > os.fstat(fd).st_size:
                        raise OSError(f"{self.path} ends within the strips of the page at {at}.")
                    table = read_at(fd, nbytes, value)
                found[tag] = struct.unpack(f"<{len(table) // 8}Q", table)
            if nbytes > 8 and tag != DESCRIPTION:
                end = max(end, value + nbytes)
        strips = found.get(STRIP_OFFSETS, (0,))
        for start, nbytes in zip(strips, found.get(STRIP_BYTE_COUNTS, (0,)), strict=False):
            end = max(end, start + nbytes)
        return Directory(at, entries, strips[0], end)
