"""The directories of a BigTIFF, made by the thousand with numpy.

A *record* is a directory with what belongs to it: the entries, the pointer to the next directory, and behind it the
tables of strips when a page has several. All records of a file have one size, so the place of each
follows from its number. Only the first page's record is longer: it alone has a description.

Sources: TIFF 6.0, sections 2 and 8; the BigTIFF design (8-byte offsets, 20-byte entries, version 43).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.units import si_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan
    from ome_writers.settings import Dimension

__all__ = [
    "COMPRESSIONS",
    "DESCRIPTION",
    "ENTRY_BYTES",
    "FIRST_PAGE_TAGS",
    "HEADER",
    "PAGE_TAGS",
    "STRIP_BYTE_COUNTS",
    "STRIP_OFFSETS",
    "PageKind",
    "Records",
    "aligned",
]

HEADER = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
"""Little-endian, BigTIFF, 8-byte offsets; the first directory stands right behind."""

ENTRY_BYTES = 20
"""Bytes of an entry of a directory."""

DESCRIPTION, STRIP_OFFSETS, STRIP_BYTE_COUNTS = 270, 273, 279
"""Tags of the entries that change while a file is written."""

COMPRESSIONS = {"none": 1, "lzw": 5, "deflate": 8, "zstd": 50000}
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}
_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 2, 3, 4, 5, 16
_SOFTWARE = 305
PAGE_TAGS = [
    (256, _LONG),
    (257, _LONG),
    (258, _SHORT),
    (259, _SHORT),
    (262, _SHORT),
    (STRIP_OFFSETS, _LONG8),
    (277, _SHORT),
    (278, _LONG),
    (STRIP_BYTE_COUNTS, _LONG8),
    (282, _RATIONAL),
    (283, _RATIONAL),
    (284, _SHORT),
    (296, _SHORT),
    (339, _SHORT),
]
"""Tags and types of a page's entries."""
FIRST_PAGE_TAGS = sorted([*PAGE_TAGS, (DESCRIPTION, _ASCII), (_SOFTWARE, _ASCII)])
"""The same of the first page."""
_MOST_STRIP = 2**28  # bytes of a compressed strip before compression: codecs take less than 2 GiB


def aligned(offset: int, to: int = 8) -> int:
    """Return the first multiple of `to` that is not below `offset`."""
    return -(-offset // to) * to


@dataclass(frozen=True)
class PageKind:
    """What all pages of an array have in common.

    Attributes
    ----------
    shape
        (y, x) or (y, x, samples) of a plane.
    dtype
        Little-endian dtype of a sample.
    compression
        Name of the settings' compression.
    rows_per_strip
        Rows of each strip but the last.
    gap
        Bytes between the strips of an uncompressed page.
    resolution
        Pixels per centimeter along x and y; None where it is not known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    compression: str
    rows_per_strip: int
    gap: int
    resolution: tuple[Fraction, Fraction] | None

    @classmethod
    def of(cls, plan: ArrayPlan, *, parted: bool) -> PageKind:
        """Return the kind of an array's pages.

        With `parted` no reader can take a page for one piece of the file: an uncompressed page is two strips with a
        gap between them. A page of one row has no two strips; it is stored deflated instead.
        """
        height, width = plan.frame_shape
        shape = (height, width, plan.samples) if plan.samples > 1 else (height, width)
        compression, rows, gap = plan.compression, height, 0
        if parted and compression == "none" and height == 1:
            compression = "deflate"
        if compression != "none":
            rows = max(1, min(height, _MOST_STRIP // (plan.frame_bytes // height)))
        elif parted:
            rows, gap = -(-height // 2), 16
        return cls(shape, plan.dtype, compression, rows, gap, _resolution(plan.dimensions))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of pixels."""
        width_and_samples = self.shape[1] * (self.shape[2] if len(self.shape) > 2 else 1)
        return int(width_and_samples * self.dtype.itemsize)

    @property
    def strips(self) -> list[tuple[int, int]]:
        """(first row, row behind the last) of each strip."""
        height, rows = self.shape[0], self.rows_per_strip
        return [(row, min(row + rows, height)) for row in range(0, height, rows)]

    @property
    def stored_bytes(self) -> int:
        """Bytes that an uncompressed page takes, gaps included."""
        return self.shape[0] * self.row_bytes + (len(self.strips) - 1) * self.gap

    def entries(self) -> list[tuple[int, int, int, bytes]]:
        """Return (tag, type, count, value) of all entries that need no place in the file, strips left open."""
        height, width, *rest = self.shape
        samples = rest[0] if rest else 1
        bits = [self.dtype.itemsize * 8] * samples
        formats = [_SAMPLE_FORMATS[self.dtype.kind]] * samples
        colours = 2 if samples == 3 else 1  # RGB; black is zero
        x, y = self.resolution or (Fraction(1), Fraction(1))
        unit = 1 if self.resolution is None else 3  # none; centimeter
        strips = len(self.strips)
        return [
            (256, _LONG, 1, struct.pack("<I", width)),  # ImageWidth
            (257, _LONG, 1, struct.pack("<I", height)),  # ImageLength
            (258, _SHORT, samples, struct.pack(f"<{samples}H", *bits)),  # BitsPerSample
            (259, _SHORT, 1, struct.pack("<H", COMPRESSIONS[self.compression])),  # Compression
            (262, _SHORT, 1, struct.pack("<H", colours)),  # PhotometricInterpretation
            (STRIP_OFFSETS, _LONG8, strips, b""),
            (277, _SHORT, 1, struct.pack("<H", samples)),  # SamplesPerPixel
            (278, _LONG, 1, struct.pack("<I", self.rows_per_strip)),  # RowsPerStrip
            (STRIP_BYTE_COUNTS, _LONG8, strips, b""),
            (282, _RATIONAL, 1, struct.pack("<II", x.numerator, x.denominator)),  # XResolution
            (283, _RATIONAL, 1, struct.pack("<II", y.numerator, y.denominator)),  # YResolution
            (284, _SHORT, 1, struct.pack("<H", 1)),  # PlanarConfiguration
            (296, _SHORT, 1, struct.pack("<H", unit)),  # ResolutionUnit
            (339, _SHORT, samples, struct.pack(f"<{samples}H", *formats)),  # SampleFormat
        ]


class Records:
    """The form of one kind's records: a template, and where in it the numbers of a page stand.

    Parameters
    ----------
    kind
        The pages.
    first
        The record of a file's first page: it has a description and names `software`.

    Attributes
    ----------
    nbytes
        Size of a record.
    next_at
        Where the pointer to the next directory stands.
    strips_at, strips_span
        The bytes that say where the strips lie: patched with one write, they are never half-new.
    description_at
        Where count and offset of the description stand, side by side.
    """

    def __init__(self, kind: PageKind, *, first: bool = False, software: bytes = b"") -> None:
        self.kind = kind
        entries = kind.entries()
        if first:
            entries += [(DESCRIPTION, _ASCII, 1, b""), (_SOFTWARE, _ASCII, len(software), b"")]
        entries.sort()
        at = {tag: 8 + i * ENTRY_BYTES for i, (tag, *_) in enumerate(entries)}
        self.next_at = 8 + len(entries) * ENTRY_BYTES
        self._tables = aligned(self.next_at + 8)
        self._strips = len(kind.strips)
        self._software = software if first else b""
        self._software_at = self._tables + (16 * self._strips if self._strips > 1 else 0)
        self.nbytes = aligned(self._software_at + len(self._software))
        self.description_at = at.get(DESCRIPTION, 0) + 4
        self._values = {tag: at[tag] + 12 for tag in at}
        if self._strips == 1:
            self.strips_at = self._values[STRIP_OFFSETS]
            self.strips_span = self._values[STRIP_BYTE_COUNTS] + 8 - self.strips_at
        else:
            self.strips_at, self.strips_span = self._tables, 16 * self._strips
        self._template = self._fill(entries)

    def make(
        self,
        at: NDArray[np.int64],
        following: NDArray[np.int64],
        strips: NDArray[np.int64],
        counts: Sequence[int],
        stride: int | None = None,
    ) -> NDArray[np.uint8]:
        """Return the records of n pages as bytes, shape (n, `stride` or `nbytes`).

        Parameters
        ----------
        at
            Shape (n,): the offset of each record.
        following
            Shape (n,): the offset of the record that follows in the chain, or 0.
        strips
            Shape (n, strips): the offset of each strip.
        counts
            The bytes of each strip.
        """
        out = np.zeros((len(at), stride or self.nbytes), np.uint8)
        out[:, : self.nbytes] = self._template
        _put(out, self.next_at, following)
        if self._strips == 1:
            _put(out, self._values[STRIP_OFFSETS], strips[:, 0])
            _put(out, self._values[STRIP_BYTE_COUNTS], counts[0])
        else:
            _put(out, self._values[STRIP_OFFSETS], at + self._tables)
            _put(out, self._values[STRIP_BYTE_COUNTS], at + self._tables + 8 * self._strips)
            for i in range(self._strips):
                _put(out, self._tables + 8 * i, strips[:, i])
                _put(out, self._tables + 8 * (self._strips + i), counts[i])
        if self._software:
            _put(out, self._values[_SOFTWARE], at + self._software_at)
        return out

    def strips_patch(self, now: bytes, offsets: Sequence[int], counts: Sequence[int]) -> bytes:
        """Return the `strips_span` bytes that stand at `strips_at`, with other strips than `now`."""
        if self._strips > 1:
            return struct.pack(f"<{2 * self._strips}Q", *offsets, *counts)
        return struct.pack("<Q", offsets[0]) + now[8:-8] + struct.pack("<Q", counts[0])

    def read_strips(self, now: bytes) -> list[tuple[int, int]]:
        """Return (offset, bytes) of each strip from the `strips_span` bytes at `strips_at`."""
        if self._strips > 1:
            numbers = struct.unpack(f"<{2 * self._strips}Q", now)
            return list(zip(numbers[: self._strips], numbers[self._strips :], strict=True))
        return [(*struct.unpack("<Q", now[:8]), *struct.unpack("<Q", now[-8:]))]

    def _fill(self, entries: Sequence[tuple[int, int, int, bytes]]) -> NDArray[np.uint8]:
        record = bytearray(self.nbytes)
        struct.pack_into("<Q", record, 0, len(entries))
        for i, (tag, type_, count, value) in enumerate(entries):
            struct.pack_into("<HHQ8s", record, 8 + i * ENTRY_BYTES, tag, type_, count, value)
        record[self._software_at : self._software_at + len(self._software)] = self._software
        return np.frombuffer(bytes(record), np.uint8)


def _put(out: NDArray[np.uint8], at: int, values: NDArray[np.int64] | int) -> None:
    """Store an 8-byte number in each record."""
    column = np.empty(len(out), "<u8")
    column[...] = values
    out[:, at : at + 8] = column.view(np.uint8).reshape(-1, 8)


def _resolution(dimensions: Sequence[Dimension]) -> tuple[Fraction, Fraction] | None:
    """Return pixels per centimeter along x and y."""
    y, x = dimensions[-2:]
    if not (x.scale and y.scale):
        return None
    found = []
    for dim in (x, y):
        centimeters = float(dim.scale or 1) * si_value(dim.unit or "micrometer") * 100
        ratio = Fraction(1 / centimeters).limit_denominator(10**6)
        if not 0 < ratio < 2**32:
            return None
        while ratio.numerator >= 2**32:
            ratio = ratio.limit_denominator(max(1, ratio.denominator // 2))
        found.append(ratio)
    return found[0], found[1]
