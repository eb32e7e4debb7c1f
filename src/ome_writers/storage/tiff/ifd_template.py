"""IFDs of equal length, encoded in batches with numpy.

An encoded IFD consists of the entries, the next-IFD pointer and, for pages of several strips, the tables of strip
offsets and byte counts, and of several resolution levels, the table of SubIFDs. All IFDs of a resolution level in a
file are equally long, so that the offset of each follows from its page number; only that of the first page is longer,
because it has the ImageDescription and Software tags.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.tiff.ifd import (
    ASCII,
    DESCRIPTION,
    ENTRY_BYTES,
    SOFTWARE,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    SUB_IFDS,
    PageKind,
    aligned,
)

IFDS_PER_BATCH = 2048
"""IFDs encoded at once: few enough for their memory to stay in the CPU cache."""


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
        self._tables = aligned(self.next_pointer_at + 8)
        self._strip_count = len(kind.strips)
        self._software = software if first else b""
        self._levels_at = self._tables + (16 * self._strip_count if self._strip_count > 1 else 0)
        self._software_at = self._levels_at + (8 * kind.levels if kind.levels > 1 else 0)
        self.nbytes = aligned(self._software_at + len(self._software))  # size of the encoded IFD
        # position of count and offset of the ImageDescription, which are adjacent
        self.description_at = at.get(DESCRIPTION, 0) + 4
        self._values = {tag: at[tag] + 12 for tag in at}
        if self._strip_count == 1:
            # Position and size of the bytes that contain all strip offsets and byte counts. They are replaced by one
            # write, so that readers never see a mixture of old and new values.
            self.strips_at = self._values[STRIP_OFFSETS]
            self.strips_span = self._values[STRIP_BYTE_COUNTS] + 8 - self.strips_at
        else:
            self.strips_at, self.strips_span = self._tables, 16 * self._strip_count
        self._template = self._encode_template(entries)

    def encode(
        self,
        offsets: NDArray[np.int64],
        next_offsets: NDArray[np.int64],
        strip_offsets: NDArray[np.int64],
        strip_bytes: Sequence[int],
        stride: int | None = None,
        level_offsets: Sequence[NDArray[np.int64]] = (),
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
        """
        out = np.zeros((len(offsets), stride or self.nbytes), np.uint8)
        out[:, : self.nbytes] = self._template
        _put(out, self.next_pointer_at, next_offsets)
        if self._strip_count == 1:
            _put(out, self._values[STRIP_OFFSETS], strip_offsets[:, 0])
            _put(out, self._values[STRIP_BYTE_COUNTS], strip_bytes[0])
        else:
            tables = offsets + self._tables
            _put(out, self._values[STRIP_OFFSETS], tables)
            _put(out, self._values[STRIP_BYTE_COUNTS], tables + 8 * self._strip_count)
            for i in range(self._strip_count):
                _put(out, self._tables + 8 * i, strip_offsets[:, i])
                _put(out, self._tables + 8 * (self._strip_count + i), strip_bytes[i])
        if len(level_offsets) == 1:
            _put(out, self._values[SUB_IFDS], level_offsets[0])
        elif level_offsets:
            _put(out, self._values[SUB_IFDS], offsets + self._levels_at)
            for i, level in enumerate(level_offsets):
                _put(out, self._levels_at + 8 * i, level)
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


def _put(out: NDArray[np.uint8], at: int, values: NDArray[np.int64] | int) -> None:
    """Set the 8-byte number at `at` in each IFD."""
    column = np.empty(len(out), "<u8")
    column[...] = values
    out[:, at : at + 8] = column.view(np.uint8).reshape(-1, 8)
