"""IFDs of a TIFF file, with every offset and size checked against the size of the file before it is followed.

Sources: TIFF 6.0, section 2; the BigTIFF design (8-byte offsets, 20-byte entries, version 43).
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import InvalidFileError
from ome_writers.storage.tiff import as_numbers, read_pieces
from ome_writers.untrusted import Limit, check_count, check_memory, open_regular

if sys.platform == "win32":
    from ome_writers.windows_api import pread as _pread
else:
    _pread = os.pread

_WIDTH, _LENGTH, _BITS, _SAMPLES = 256, 257, 258, 277
_OFFSETS, _BYTE_COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_TABLES = frozenset((*_OFFSETS, *_BYTE_COUNTS))
MAX_ENTRIES = 4096  # of an IFD
MAX_LEVELS = 64  # resolution levels of a page
_MAX_STRIPS = 2**22
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_MAX_BLOCK_BYTES = 2**22  # from the first to the last IFD
_MAX_STEP_BYTES = 2**16  # between two IFDs
FIELD_BYTES = {2: 1, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8} | {
    kind: int(word[1]) for kind, word in _INTEGERS.items()
}


class TiffEntry(NamedTuple):
    """IFD entry: field type, number of values, their offset and size in bytes, and their bytes if in the IFD itself."""

    kind: int
    values: int
    offset: int
    nbytes: int
    inline: bytes = b""


class TiffDirectory(NamedTuple):
    """IFD: its offset, its entries by tag, the offset of the next IFD (0 for the last), and where that is stored."""

    offset: int
    entries: dict[int, TiffEntry]
    next_offset: int
    next_pointer_at: int


@dataclass(frozen=True)
class IfdBlock:
    """IFDs that follow each other in the chain and have the same entries, but for their values.

    Attributes
    ----------
    first
        The first of them.
    offsets
        Of the IFDs.
    values
        By tag, the bytes of the value of each IFD, or of its offset if it is larger; shape (IFDs, bytes).
    next_offset
        Offset of the IFD after the last one; 0 for none.
    """

    first: TiffDirectory
    offsets: NDArray[np.int64]
    values: Mapping[int, NDArray[np.uint8]]
    next_offset: int

    def without(self, count: int, first: TiffDirectory) -> IfdBlock:
        """Return the block without its first `count` IFDs; `first` is the one after them."""
        values = {tag: value[count:] for tag, value in self.values.items()}
        return replace(self, first=first, offsets=self.offsets[count:], values=values)


class TiffStructure:
    """Header and IFD chain of an open TIFF file; `name` is its name in errors. The caller closes `fd`.

    Raises InvalidFileError if it is not a TIFF file.
    """

    def __init__(self, fd: int, name: object) -> None:
        self._fd = fd
        self._name = name
        head = self._read(0, 16, short=True)
        self._order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        version = struct.unpack(f"{self._order}H", head[2:4])[0] if self._order and head[3:] else 0
        if version not in (42, 43):
            raise InvalidFileError(f"{name} is neither an OME-TIFF file nor an OME-Zarr directory.")
        if len(head) < (16 if version == 43 else 8):
            raise InvalidFileError(f"{name} is a truncated TIFF: it ends inside the header.")
        self._big = version == 43
        self._word = f"{self._order}{'Q' if self._big else 'I'}"
        self.byteorder: Literal["little", "big"] = "little" if self._order == "<" else "big"
        (self.first,) = struct.unpack_from(self._word, head, 8 if self._big else 4)

    def directory(self, offset: int) -> TiffDirectory:
        """Return the IFD at an offset.

        Raises InvalidFileError if the IFD, or the values of an entry, are not inside the file.
        """
        count_bytes, entry_bytes = (8, 20) if self._big else (2, 12)
        inline = struct.calcsize(self._word)
        number = int.from_bytes(self._read(offset, count_bytes), self.byteorder)
        where = f"{self._name}: the IFD at {offset}"
        if number > MAX_ENTRIES:
            check_count(number, f"{where}: the number of entries", MAX_ENTRIES)
        body = self._read(offset + count_bytes, number * entry_bytes + inline)
        entries: dict[int, TiffEntry] = {}
        size = os.fstat(self._fd).st_size
        for start in range(0, number * entry_bytes, entry_bytes):
            tag, kind, count = struct.unpack_from(f"{self._order}HH{self._word[1]}", body, start)
            value = start + entry_bytes - inline
            nbytes = count * FIELD_BYTES.get(kind, 0)
            begin = offset + count_bytes + value
            content = body[value : value + nbytes] if nbytes <= inline else b""
            if nbytes > inline:
                (begin,) = struct.unpack_from(self._word, body, value)
            limit = _MAX_STRIPS * 8 if tag in _TABLES else Limit.XML
            if nbytes > limit or begin + nbytes > size:
                raise InvalidFileError(
                    f"{where}: tag {tag} has {count:,} values at offset {begin:,}, the file has {size:,} bytes."
                )
            entries.setdefault(tag, TiffEntry(kind, count, begin, nbytes, content))
        (next_offset,) = struct.unpack_from(self._word, body, number * entry_bytes)
        pointer_at = offset + count_bytes + number * entry_bytes
        return TiffDirectory(offset, entries, next_offset, pointer_at)

    def blocks(self) -> Iterator[IfdBlock]:
        """Iterate over the IFD chain of the file, as far as possible by many IFDs at once.

        Raises InvalidFileError if an IFD is not inside the file, or the chain is a loop.
        """
        offset = self.first
        loops = LoopDetector(self._name)
        while offset:
            loops.visit(offset)
            first = self.directory(offset)
            step = first.next_offset - offset
            count = _MAX_BLOCK_BYTES // step if 0 < step <= _MAX_STEP_BYTES else 1
            offsets = offset + step * np.arange(max(1, count))
            block = self.block(first, offsets, in_chain=True)
            yield block
            offset = block.next_offset

    def block(
        self, first: TiffDirectory, offsets: NDArray[np.int64], *, in_chain: bool = False
    ) -> IfdBlock:
        """Return the IFDs at `offsets` up to one with other entries than the first.

        With `in_chain`, up to one that the previous one does not refer to, either.
        """
        count_bytes, entry_bytes = (8, 20) if self._big else (2, 12)
        inline, size = struct.calcsize(self._word), os.fstat(self._fd).st_size
        nbytes = first.next_pointer_at + inline - first.offset
        offsets = offsets[: max(1, _MAX_BLOCK_BYTES // nbytes)]
        inside = (offsets >= 0) & (offsets <= size - nbytes)
        offsets = offsets if inside.all() else offsets[: max(1, int(np.argmin(inside)))]
        ifds = read_pieces(self._fd, offsets, nbytes)
        fixed = np.ones(nbytes - inline, bool)
        for start in range(count_bytes, len(fixed), entry_bytes):
            fixed[start + entry_bytes - inline : start + entry_bytes] = False
        ifds_fixed = ifds[:, : len(fixed)][:, fixed]
        same = (ifds_fixed == ifds_fixed[0]).all(axis=1)
        following = as_numbers(ifds[:, -inline:], self._word)[:, 0]
        if in_chain:
            same[1:] &= following[:-1] == offsets[1:]
        values: dict[int, NDArray[np.uint8]] = {}
        for start in range(count_bytes, len(fixed), entry_bytes):
            tag = int(as_numbers(ifds[:1, start : start + 2], f"{self._order}u2")[0, 0])
            value = ifds[:, start + entry_bytes - inline : start + entry_bytes]
            values.setdefault(tag, value)
            entry = first.entries[tag]
            if entry.nbytes > inline:
                begin = as_numbers(value, self._word)[:, 0]
                same &= (begin >= 0) & (begin <= size - entry.nbytes)
        count = len(same) if same.all() else max(1, int(np.argmin(same)))
        kept = {tag: value[:count] for tag, value in values.items()}
        return IfdBlock(first, offsets[:count], kept, int(following[count - 1]) % 2**64)

    def numbers(self, block: IfdBlock, tag: int) -> NDArray[np.int64]:
        """Return the values of an entry in each IFD of a block, shape (IFDs, values); see `integers`."""
        entry = block.first.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or not entry.nbytes:
            return np.zeros((len(block.offsets), 0), np.int64)
        content = block.values[tag]
        if entry.nbytes > content.shape[1]:
            content = read_pieces(self._fd, as_numbers(content, self._word)[:, 0], entry.nbytes)
        return as_numbers(content[:, : entry.nbytes], f"{self._order}{_INTEGERS[entry.kind]}")

    def next_directory(self, offset: int) -> int:
        """Return the offset of the next IFD (0 for none) without reading the entries of the one at `offset`.

        Raises InvalidFileError if the IFD is not inside the file.
        """
        count_bytes, entry_bytes = (8, 20) if self._big else (2, 12)
        number = int.from_bytes(self._read(offset, count_bytes), self.byteorder)
        where = f"{self._name}: the IFD at {offset}"
        check_count(number, f"{where}: the number of entries", MAX_ENTRIES)
        link = self._read(offset + count_bytes + number * entry_bytes, struct.calcsize(self._word))
        return int.from_bytes(link, self.byteorder)

    def directories(self) -> Iterator[TiffDirectory]:
        """Iterate over the IFD chain of the file.

        Raises InvalidFileError if an IFD is not inside the file, or the chain is a loop.
        """
        offset = self.first
        loops = LoopDetector(self._name)
        while offset:
            loops.visit(offset)
            ifd = self.directory(offset)
            yield ifd
            offset = ifd.next_offset

    def content(self, entry: TiffEntry) -> bytes:
        """Return the bytes of an entry's values."""
        return entry.inline or self._read(entry.offset, entry.nbytes)

    def integers(self, entry: TiffEntry | None) -> NDArray[np.uint64]:
        """Return the values of an entry; empty if it is missing or its type is not an integer type."""
        if entry is None or entry.kind not in _INTEGERS:
            return np.zeros(0, np.uint64)
        values = np.frombuffer(self.content(entry), f"{self._order}{_INTEGERS[entry.kind]}")
        return values.astype(np.uint64)

    def check_plane(self, ifd: TiffDirectory) -> None:
        """Raise InvalidFileError if the plane of an IFD does not fit into memory."""
        values = [self.integers(ifd.entries.get(tag)) for tag in (_LENGTH, _WIDTH, _SAMPLES)]
        extents = [int(value[0]) if len(value) else 1 for value in values]
        bits = self.integers(ifd.entries.get(_BITS))
        depth = -(-int(bits.max(initial=1)) // 8)
        check_memory((*extents, depth), f"{self._name}: the plane of the IFD at {ifd.offset}")

    def check_strips(self, ifd: TiffDirectory) -> None:
        """Raise InvalidFileError if a strip or tile of an IFD is not inside the file."""
        where, size = f"{self._name}: the IFD at {ifd.offset}", os.fstat(self._fd).st_size
        for offsets, counts in zip(_OFFSETS, _BYTE_COUNTS, strict=True):
            starts = self.integers(ifd.entries.get(offsets))
            lengths = self.integers(ifd.entries.get(counts))
            if len(lengths) and int(lengths.max()) > size:
                raise InvalidFileError(f"{where}: a strip or tile is longer than the file.")
            if len(starts) == len(lengths) and (starts > size - lengths).any():
                raise InvalidFileError(f"{where}: a strip or tile ends after the end of the file.")

    def _read(self, offset: int, nbytes: int, *, short: bool = False) -> bytes:
        if not short and offset + nbytes > (size := os.fstat(self._fd).st_size):
            raise InvalidFileError(
                f"{self._name} is a truncated TIFF: {nbytes:,} bytes at offset {offset:,} are needed, "
                f"but the file has {size:,} bytes."
            )
        return _pread(self._fd, nbytes, offset)


@contextmanager
def open_tiff(file: Path, *, root: Path | None = None) -> Iterator[TiffStructure]:
    """Open a TIFF file to read its IFDs; see `open_regular` and `TiffStructure`."""
    fd = open_regular(file, root=root)
    try:
        yield TiffStructure(fd, file)
    finally:
        os.close(fd)


class LoopDetector:
    """Detects a loop in a chain of IFDs in constant memory (Brent's algorithm)."""

    def __init__(self, name: object) -> None:
        self._name = name
        self._landmark = -1
        self._steps, self._until_next = 0, 1

    def visit(self, offset: int) -> None:
        """Step to the next offset of the chain; raise InvalidFileError if the chain is a loop."""
        if offset == self._landmark:
            raise InvalidFileError(f"{self._name}: the IFD chain is a loop at offset {offset}.")
        self._steps += 1
        if self._steps == self._until_next:
            self._landmark, self._steps, self._until_next = offset, 0, 2 * self._until_next
