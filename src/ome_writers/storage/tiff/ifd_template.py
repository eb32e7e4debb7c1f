"""IFDs of equal length, encoded in batches with numpy.

An encoded IFD consists of the entries, the next-IFD pointer and, for pages of several strips, the tables of strip
offsets and byte counts, and of several resolution levels, the table of SubIFDs. All IFDs of a resolution level in a
file are equally long, so that the offset of each follows from its page number; only that of the first page is longer,
because it has the ImageDescription and Software tags.

The tables of a page with tiles may exceed a disk sector, so they are never changed. The entries refer to a pair of
tables that all blank pages share until the pixels are on disk, and then to those of the page: that is one small write.
The IFD of an uncompressed page is followed by its table of offsets, which are known from the start; all pages share the
table of byte counts. A compressed page has its tables beside its tiles. For a page with tiles, arguments and results
that are called strips are the two tables.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.tiff.ifd import (
    ASCII,
    CHECKSUM,
    DESCRIPTION,
    ENTRY_BYTES,
    SOFTWARE,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    SUB_IFDS,
    TILE_BYTE_COUNTS,
    TILE_OFFSETS,
    PageKind,
    aligned,
)

_MAX_BATCH_BYTES = 2**20  # few enough for the memory of a batch to stay in the CPU cache


def ifds_per_batch(stride: int) -> int:
    """Return the number of IFDs, which are `stride` bytes apart, that are encoded at once."""
    return max(1, min(2048, _MAX_BATCH_BYTES // stride))


class IfdTemplate:
    """The encoded IFD of one page kind, without the values that differ between pages.

    With `first` it is for the first page of a file, which has the ImageDescription and Software tags; `software` is the
    NUL-terminated value of the latter.
    """

    def __init__(self, kind: PageKind, *, first: bool = False, software: bytes = b"") -> None:
        entries = kind.entries()
        if first:
            entries += [(DESCRIPTION, ASCII, 1, b""), (SOFTWARE, ASCII, len(software), b"")]
        entries.sort()
        at = {tag: 8 + i * ENTRY_BYTES for i, (tag, *_) in enumerate(entries)}
        # position of the next-IFD pointer within the IFD
        self.next_pointer_at = 8 + len(entries) * ENTRY_BYTES
        # position of the tables of this IFD, within the IFD
        self.tables_at = aligned(self.next_pointer_at + 8)
        self._strip_count = 1 if kind.tile else len(kind.strip_bytes)
        self._tile_count = len(kind.strip_bytes) if kind.tile and kind.compression == "none" else 0
        self._software = software if first else b""
        self._levels_at = self.tables_at + 8 * self._tile_count
        self._levels_at += 16 * self._strip_count if self._strip_count > 1 else 0
        self._software_at = self._levels_at + (8 * kind.levels if kind.levels > 1 else 0)
        self.nbytes = aligned(self._software_at + len(self._software))  # size of the encoded IFD
        # position of count and offset of the ImageDescription, which are adjacent
        self.description_at = at.get(DESCRIPTION, 0) + 4
        self._values = {tag: at[tag] + 12 for tag in at}
        self.offsets_at = self._values[TILE_OFFSETS if kind.tile else STRIP_OFFSETS]
        self._counts_at = self._values[TILE_BYTE_COUNTS if kind.tile else STRIP_BYTE_COUNTS]
        if self._strip_count == 1:
            # Position and size of the bytes that contain all strip offsets and byte counts. They are replaced by one
            # write, so that readers never see a mixture of old and new values.
            self.strips_at = self.offsets_at
            self.strips_span = self._counts_at + 8 - self.strips_at
        else:
            self.strips_at, self.strips_span = self.tables_at, 16 * self._strip_count
        self.checksum_at = self._values.get(CHECKSUM, 0)  # 0 if there is none
        self._template = self._encode_template(entries)

    def encode(
        self,
        offsets: NDArray[np.int64],
        next_offsets: NDArray[np.int64],
        strip_offsets: NDArray[np.int64],
        strip_bytes: Sequence[int],
        stride: int | None = None,
        level_offsets: Sequence[NDArray[np.int64]] = (),
        tile_offsets: NDArray[np.int64] | None = None,
        checksums: NDArray[np.uint32] | int = 0,
    ) -> NDArray[np.uint8]:
        """Return the IFDs of n pages as bytes, shape (n, `stride` or `nbytes`).

        Parameters
        ----------
        offsets, next_offsets
            Shape (n,): the offset of each IFD, and of its successor in the chain (0: none).
        strip_offsets
            Shape (n, strips).
        strip_bytes
            Size of each strip.
        level_offsets
            By level, shape (n,): the offset of the level's IFD.
        tile_offsets
            Shape (n, tiles): the table of offsets of uncompressed pages with tiles.
        checksums
            Shape (n,): see `CHECKSUM`; not used for pages without.
        """
        out = np.zeros((len(offsets), stride or self.nbytes), np.uint8)
        out[:, : self.nbytes] = self._template
        _put(out, self.next_pointer_at, next_offsets)
        if self._strip_count == 1:
            _put(out, self.offsets_at, strip_offsets[:, 0])
            _put(out, self._counts_at, strip_bytes[0])
        else:
            tables = offsets + self.tables_at
            _put(out, self.offsets_at, tables)
            _put(out, self._counts_at, tables + 8 * self._strip_count)
            for i in range(self._strip_count):
                _put(out, self.tables_at + 8 * i, strip_offsets[:, i])
                _put(out, self.tables_at + 8 * (self._strip_count + i), strip_bytes[i])
        if len(level_offsets) == 1:
            _put(out, self._values[SUB_IFDS], level_offsets[0])
        elif level_offsets:
            _put(out, self._values[SUB_IFDS], offsets + self._levels_at)
            for i, level in enumerate(level_offsets):
                _put(out, self._levels_at + 8 * i, level)
        if tile_offsets is not None:
            table = tile_offsets.astype("<u8").view(np.uint8)
            out[:, self.tables_at : self.tables_at + 8 * self._tile_count] = table
        if self.checksum_at:
            _put(out, self.checksum_at, checksums)
        if self._software:
            _put(out, self._values[SOFTWARE], offsets + self._software_at)
        return out

    def encode_strips(self, current: bytes, offsets: Sequence[int], counts: Sequence[int]) -> bytes:
        """Return the `strips_span` bytes at `strips_at`, which are `current` now, with other strips."""
        if self._strip_count > 1:
            return struct.pack(f"<{2 * self._strip_count}Q", *offsets, *counts)
        return struct.pack("<Q", offsets[0]) + current[8:-8] + struct.pack("<Q", counts[0])

    def decode_strips(self, encoded: bytes) -> list[tuple[int, int]]:
        """Return (offset, byte count) of each strip from the `strips_span` bytes at `strips_at`."""
        if self._strip_count > 1:
            numbers = struct.unpack(f"<{2 * self._strip_count}Q", encoded)
            split = self._strip_count
            return list(zip(numbers[:split], numbers[split:], strict=True))
        return [(*struct.unpack("<Q", encoded[:8]), *struct.unpack("<Q", encoded[-8:]))]

    def _encode_template(self, entries: Sequence[tuple[int, int, int, bytes]]) -> NDArray[np.uint8]:
        ifd = bytearray(self.nbytes)
        struct.pack_into("<Q", ifd, 0, len(entries))
        for i, (tag, type_, count, value) in enumerate(entries):
            struct.pack_into("<HHQ8s", ifd, 8 + i * ENTRY_BYTES, tag, type_, count, value)
        ifd[self._software_at : self._software_at + len(self._software)] = self._software
        return np.frombuffer(bytes(ifd), np.uint8)


def _put(out: NDArray[np.uint8], at: int, values: NDArray[Any] | int) -> None:
    """Set the 8-byte number at `at` in each IFD."""
    column = np.empty(len(out), "<u8")
    column[...] = values
    out[:, at : at + 8] = column.view(np.uint8).reshape(-1, 8)
