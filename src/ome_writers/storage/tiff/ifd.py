"""BigTIFF image file directories (IFDs), encoded in batches with numpy.

An encoded IFD consists of the entries, the next-IFD pointer and, for pages of several strips, the tables of strip
offsets and byte counts. All IFDs of a file are equally long, so that the offset of each follows from its page number;
only that of the first page is longer, because it has the ImageDescription and Software tags.

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

HEADER = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
"""Little-endian BigTIFF with 8-byte offsets; the first IFD follows immediately."""

ENTRY_BYTES = 20
"""Size of an IFD entry."""

IFDS_PER_BATCH = 2048
"""IFDs encoded at once: few enough for their memory to stay in the CPU cache."""

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
"""Tags and field types of a page's entries."""
FIRST_PAGE_TAGS = sorted([*PAGE_TAGS, (DESCRIPTION, _ASCII), (_SOFTWARE, _ASCII)])
"""Tags and field types of the first page's entries."""

_MAX_STRIP_BYTES = 2**28  # of uncompressed data per compressed strip: codecs accept less than 2 GiB


def aligned(offset: int, to: int = 8) -> int:
    """Round `offset` up to a multiple of `to`."""
    return -(-offset // to) * to


@dataclass(frozen=True)
class PageKind:
    """The properties that all pages of an array share."""

    shape: tuple[int, ...]  # (y, x) or (y, x, samples) of a plane
    dtype: np.dtype[np.generic]  # little-endian
    compression: str  # as named in the settings
    rows_per_strip: int  # the last strip may have fewer
    gap: int  # bytes between the strips of an uncompressed page
    resolution: tuple[Fraction, Fraction] | None  # pixels per centimeter along x and y, if known

    @classmethod
    def of(cls, plan: ArrayPlan, *, contiguous: bool) -> PageKind:
        """Return the kind of an array's pages.

        Unless `contiguous`, an uncompressed page consists of two strips with a gap between them, so that no reader
        maps it as one block of the file. A page of a single row cannot be split; it is deflated instead.
        """
        height, width = plan.frame_shape
        shape = (height, width, plan.samples) if plan.samples > 1 else (height, width)
        compression, rows, gap = plan.compression, height, 0
        if not contiguous and compression == "none" and height == 1:
            compression = "deflate"
        if compression != "none":
            rows = max(1, min(height, _MAX_STRIP_BYTES // (plan.frame_bytes // height)))
        elif not contiguous:
            rows, gap = -(-height // 2), 16
        return cls(shape, plan.dtype, compression, rows, gap, _resolution(plan.dimensions))

    @property
    def row_bytes(self) -> int:
        width_and_samples = self.shape[1] * (self.shape[2] if len(self.shape) > 2 else 1)
        return int(width_and_samples * self.dtype.itemsize)

    @property
    def strips(self) -> list[tuple[int, int]]:
        """(first row, end row) of each strip."""
        height, rows = self.shape[0], self.rows_per_strip
        return [(row, min(row + rows, height)) for row in range(0, height, rows)]

    @property
    def stored_bytes(self) -> int:
        """Size of an uncompressed page in the file, gaps included."""
        return self.shape[0] * self.row_bytes + (len(self.strips) - 1) * self.gap

    def entries(self) -> list[tuple[int, int, int, bytes]]:
        """Return (tag, field type, count, value) of each entry; strip offsets and byte counts have no value yet."""
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


class IfdTemplate:
    """The encoded IFD of one page kind, without the values that differ between pages.

    With `first` it is for the first page of a file, which has the ImageDescription and Software tags; `software` is the
    NUL-terminated value of the latter.

    Attributes
    ----------
    nbytes
        Size of the encoded IFD.
    next_pointer_at
        Position of the next-IFD pointer within the IFD.
    strips_at, strips_span
        Position and size of the bytes that contain all strip offsets and byte counts. They are replaced by one write,
        so that readers never see a mixture of old and new values.
    description_at
        Position of count and offset of the ImageDescription, which are adjacent.
    """

    def __init__(self, kind: PageKind, *, first: bool = False, software: bytes = b"") -> None:
        entries = kind.entries()
        if first:
            entries += [(DESCRIPTION, _ASCII, 1, b""), (_SOFTWARE, _ASCII, len(software), b"")]
        entries.sort()
        at = {tag: 8 + i * ENTRY_BYTES for i, (tag, *_) in enumerate(entries)}
        self.next_pointer_at = 8 + len(entries) * ENTRY_BYTES
        self._tables = aligned(self.next_pointer_at + 8)
        self._strip_count = len(kind.strips)
        self._software = software if first else b""
        self._software_at = self._tables + (16 * self._strip_count if self._strip_count > 1 else 0)
        self.nbytes = aligned(self._software_at + len(self._software))
        self.description_at = at.get(DESCRIPTION, 0) + 4
        self._values = {tag: at[tag] + 12 for tag in at}
        if self._strip_count == 1:
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
        if self._software:
            _put(out, self._values[_SOFTWARE], offsets + self._software_at)
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


def _resolution(dimensions: Sequence[Dimension]) -> tuple[Fraction, Fraction] | None:
    """Return pixels per centimeter along x and y."""
    y, x = dimensions[-2:]
    if not (x.scale and y.scale):
        return None
    resolution = []
    for dim in (x, y):
        centimeters = float(dim.scale or 1) * si_value(dim.unit or "micrometer") * 100
        ratio = Fraction(1 / centimeters).limit_denominator(10**6)
        if not 0 < ratio < 2**32:
            return None
        while ratio.numerator >= 2**32:
            ratio = ratio.limit_denominator(max(1, ratio.denominator // 2))
        resolution.append(ratio)
    return resolution[0], resolution[1]
