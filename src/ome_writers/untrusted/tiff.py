"""The page directories (IFDs) of a TIFF, checked against the size of the file before anything follows their offsets.

Sources: TIFF 6.0, section 2; the BigTIFF design (8-byte offsets, 20-byte entries, version 43).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ome_writers.errors import InvalidFileError
from ome_writers.untrusted.files import Limit
from ome_writers.untrusted.sizes import check_count, check_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["LoopDetector", "TiffDirectory", "TiffEntry", "TiffStructure"]

_WIDTH, _LENGTH, _BITS, _SAMPLES = 256, 257, 258, 277
_OFFSETS, _BYTE_COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_TABLES = frozenset((*_OFFSETS, *_BYTE_COUNTS))
_MAX_ENTRIES = 4096
_MAX_STRIPS = 2**22
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_SIZES = {2: 1, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8} | {
    kind: int(word[1]) for kind, word in _INTEGERS.items()
}


class TiffEntry(NamedTuple):
    """One entry of a directory: its type, how many `values` it has, and where their `nbytes` are in the file."""

    kind: int
    values: int
    at: int
    nbytes: int


class TiffDirectory(NamedTuple):
    """One page directory: its place, its entries by tag, and the place of the next one (0: it is the last)."""

    at: int
    entries: dict[int, TiffEntry]
    next_at: int


class TiffStructure:
    """The structure of an open TIFF file.

    Parameters
    ----------
    fd
        Its descriptor, which stays the caller's.
    name
        What it is called in errors.

    Raises
    ------
    InvalidFileError
        If it is not a TIFF.
    """

    def __init__(self, fd: int, name: object) -> None:
        self._fd = fd
        self._name = name
        head = self._read(0, 16, short=True)
        self._order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        version = struct.unpack(f"{self._order}H", head[2:4])[0] if self._order and head[3:] else 0
        if version not in (42, 43):
            raise InvalidFileError(f"{name} is no TIFF, and no folder of an OME-Zarr either.")
        if len(head) < (16 if version == 43 else 8):
            raise InvalidFileError(f"{name} is no whole TIFF: it ends inside its header.")
        self._big = version == 43
        self._word = f"{self._order}{'Q' if self._big else 'I'}"
        (self.first,) = struct.unpack_from(self._word, head, 8 if self._big else 4)

    @property
    def size(self) -> int:
        """The size of the file, in bytes, at this moment."""
        return os.fstat(self._fd).st_size

    def directory(self, at: int) -> TiffDirectory:
        """Return the page directory at an offset.

        Raises
        ------
        InvalidFileError
            If it, or what one of its entries leads to, does not lie inside the file.
        """
        count_bytes, entry_bytes = (8, 20) if self._big else (2, 12)
        inline = struct.calcsize(self._word)
        number = int.from_bytes(self._read(at, count_bytes), self._byteorder)
        where = f"{self._name}: the directory at {at}"
        check_count(number, f"{where}: its number of entries", _MAX_ENTRIES)
        body = self._read(at + count_bytes, number * entry_bytes + inline)
        entries: dict[int, TiffEntry] = {}
        size = self.size
        for start in range(0, number * entry_bytes, entry_bytes):
            tag, kind, count = struct.unpack_from(f"{self._order}HH{self._word[1]}", body, start)
            value = start + entry_bytes - inline
            nbytes = count * _SIZES.get(kind, 0)
            begin = at + count_bytes + value
            if nbytes > inline:
                (begin,) = struct.unpack_from(self._word, body, value)
            most = _MAX_STRIPS * 8 if tag in _TABLES else Limit.XML
            if nbytes > most or begin + nbytes > size:
                raise InvalidFileError(
                    f"{where}: tag {tag} has {count:,} values at {begin:,}, and the file {size:,} bytes."
                )
            entries.setdefault(tag, TiffEntry(kind, count, begin, nbytes))
        (next_at,) = struct.unpack_from(self._word, body, number * entry_bytes)
        return TiffDirectory(at, entries, next_at)

    def next_directory(self, at: int) -> int:
        """Return where the directory behind the one at an offset is, without a look at its entries; 0: nowhere.

        Raises
        ------
        InvalidFileError
            If the directory does not lie inside the file.
        """
        count_bytes, entry_bytes = (8, 20) if self._big else (2, 12)
        number = int.from_bytes(self._read(at, count_bytes), self._byteorder)
        check_count(number, f"{self._name}: the number of entries at {at}", _MAX_ENTRIES)
        link = self._read(at + count_bytes + number * entry_bytes, struct.calcsize(self._word))
        return int.from_bytes(link, self._byteorder)

    def directories(self, first: int | None = None) -> Iterator[TiffDirectory]:
        """Iterate over the directories of the chain that begins at `first` (None: where the header leads to).

        Raises
        ------
        InvalidFileError
            If one is not inside the file, or the chain is a ring.
        """
        at = self.first if first is None else first
        seen = LoopDetector(self._name)
        while at:
            seen.visit(at)
            page = self.directory(at)
            yield page
            at = page.next_at

    def content(self, entry: TiffEntry) -> bytes:
        """Return the bytes of an entry's values."""
        return self._read(entry.at, entry.nbytes)

    def integers(self, entry: TiffEntry | None) -> NDArray[np.uint64]:
        """Return the values of an entry; empty where it is missing, or does not have whole numbers."""
        if entry is None or entry.kind not in _INTEGERS:
            return np.zeros(0, np.uint64)
        found = np.frombuffer(self.content(entry), f"{self._order}{_INTEGERS[entry.kind]}")
        return found.astype(np.uint64)

    def check_plane(self, page: TiffDirectory) -> None:
        """Check that the pixels of a page fit into memory.

        Raises
        ------
        InvalidFileError
            If they do not.
        """
        where = f"{self._name}: the page at {page.at}"
        extents = [self.integers(page.entries.get(tag)) for tag in (_LENGTH, _WIDTH, _SAMPLES)]
        bits = self.integers(page.entries.get(_BITS))
        values = [int(found[0]) if len(found) else 1 for found in extents]
        depth = -(-int(bits.max(initial=1)) // 8)
        check_memory((*values, depth), where)

    def check_strips(self, page: TiffDirectory) -> None:
        """Check that the strips or tiles of a page lie inside the file.

        Raises
        ------
        InvalidFileError
            If they do not.
        """
        where, size = f"{self._name}: the page at {page.at}", self.size
        for offsets, counts in zip(_OFFSETS, _BYTE_COUNTS, strict=True):
            starts = self.integers(page.entries.get(offsets))
            lengths = self.integers(page.entries.get(counts))
            if len(lengths) and int(lengths.max()) > size:
                raise InvalidFileError(f"{where}: a strip is longer than the file.")
            if len(starts) == len(lengths) and (starts > size - lengths).any():
                raise InvalidFileError(f"{where}: its pixels lie beyond the end of the file.")

    @property
    def _byteorder(self) -> Literal["little", "big"]:
        return "little" if self._order == "<" else "big"

    def _read(self, at: int, nbytes: int, *, short: bool = False) -> bytes:
        if not short and at + nbytes > self.size:
            raise InvalidFileError(
                f"{self._name} is no whole TIFF: {nbytes:,} bytes are needed at {at:,}, behind its end."
            )
        if hasattr(os, "pread"):
            return os.pread(self._fd, nbytes, at)
        os.lseek(self._fd, at, os.SEEK_SET)
        return os.read(self._fd, nbytes)


class LoopDetector:
    """Finds out whether a chain comes back to where it was, in constant memory (Brent's algorithm)."""

    def __init__(self, name: object) -> None:
        self._name = name
        self._landmark = -1
        self._steps, self._until_next = 0, 1

    def visit(self, at: int) -> None:
        """Go to the next place.

        Raises
        ------
        InvalidFileError
            If the chain was there before.
        """
        if at == self._landmark:
            raise InvalidFileError(f"{self._name}: its page directories form a ring at {at}.")
        self._steps += 1
        if self._steps == self._until_next:
            self._landmark, self._steps, self._until_next = at, 0, 2 * self._until_next
