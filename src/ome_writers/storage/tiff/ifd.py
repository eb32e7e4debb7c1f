"""The tags of BigTIFF image file directories (IFDs), and the values that all pages of an array share.

In names of this package, *strips* includes tiles, which differ from strips in their tags and shape only.

Sources: TIFF 6.0, sections 2, 8 and 15; TIFF Technical Note 1 (SubIFDs); the BigTIFF design (8-byte offsets, 20-byte
entries, version 43).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np

from ome_writers.codecs import TiffCodec, tiff_codec
from ome_writers.dataset import LevelSpec
from ome_writers.settings import Dimension
from ome_writers.units import si_value

HEADER = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
"""Little-endian BigTIFF with 8-byte offsets; the first IFD follows immediately."""

ENTRY_BYTES = 20
"""Size of an IFD entry."""

ASCII = 2
"""Field type of text."""

DESCRIPTION: Final = 270
STRIP_OFFSETS: Final = 273
STRIP_BYTE_COUNTS: Final = 279
TILE_OFFSETS: Final = 324
TILE_BYTE_COUNTS: Final = 325
"""Tags of the entries that change while a file is written."""

TILE_WIDTH, TILE_LENGTH = 322, 323
"""Tags of pages with tiles."""

SOFTWARE = 305
"""Tag of the first page only."""

SUB_IFDS = 330
"""Tag with the offsets of the IFDs of a page's resolution levels, largest first."""

CHECKSUM: Final = 65143
"""Private tag: the CRC-32C of the stored strips or tiles of a page, one after the other, without what is in between."""

SUBFILE_TYPE = 254
"""Tag that only resolution levels have."""

_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}
_SHORT, _LONG, _RATIONAL, _LONG8, _IFD8 = 3, 4, 5, 16, 18
_ROWS_PER_STRIP = 278

_MAX_PADDING_BYTES = 2**20
_MAX_STRIP_BYTES = 2**28  # of uncompressed data per compressed strip: codecs accept less than 2 GiB


def aligned(offset: int, to: int = 8) -> int:
    """Round `offset` up to a multiple of `to`."""
    return -(-offset // to) * to


@lru_cache(maxsize=16)
def encode_zeros(compression: str, nbytes: int) -> bytes:
    """Return an encoded strip of `nbytes` zeros."""
    return tiff_codec(compression).encode(np.zeros(nbytes, np.uint8).data)


@dataclass(frozen=True)
class PageKind:
    """The properties that all pages of an array share."""

    shape: tuple[int, ...]  # (y, x) or (y, x, samples) of a plane
    dtype: np.dtype[np.generic]  # little-endian
    compression: str  # as named in the settings
    rows_per_strip: int  # the last strip may have fewer
    gap: int  # bytes between the strips of an uncompressed page
    resolution: tuple[Fraction, Fraction] | None  # pixels per centimeter along x and y, if known
    levels: int = 0  # number of smaller versions of each page
    reduced: bool = False  # whether it is a smaller version itself
    tile: tuple[int, int] | None = None  # (y, x) of the tiles; None: strips
    checksum: bool = False  # whether each page has the tag `CHECKSUM`

    @classmethod
    def of(
        cls,
        level: LevelSpec,
        *,
        contiguous: bool,
        levels: int = 0,
        full: LevelSpec | None = None,
    ) -> PageKind:
        """Return the kind of an array's pages, which have `levels` or are a level of those of `full`.

        Pages have tiles if the chunks of the array are not whole planes.

        Unless `contiguous`, an uncompressed page consists of tiles or two strips with gaps between them, so that no
        reader maps it as one block of the file. A page of a single row cannot be split; it is deflated instead.
        """
        height, width = level.frame_shape
        shape = (height, width, level.samples) if level.samples > 1 else (height, width)
        compression, rows, gap = level.compression, height, 0
        chunk = level.chunks[-2], level.chunks[-1]
        tile = None if chunk == level.frame_shape else chunk
        if not contiguous and compression == "none" and height == 1 and tile is None:
            compression = "deflate"
        if compression != "none":
            rows = max(1, min(height, _MAX_STRIP_BYTES // (level.frame_bytes // height)))
        elif not contiguous:
            rows, gap = -(-height // 2), 16
        whole = level if full is None else full
        factors = map(_factor, whole.frame_shape, level.frame_shape)
        resolution = _resolution(level.dimensions, tuple(factors))
        return cls(
            shape,
            level.numpy_dtype,
            compression,
            rows,
            gap,
            resolution,
            levels,
            reduced=full is not None,
            tile=tile,
            checksum=level.checksum,
        )

    @property
    def row_bytes(self) -> int:
        width_and_samples = self.shape[1] * (self.shape[2] if len(self.shape) > 2 else 1)
        return int(width_and_samples * self.dtype.itemsize)

    @property
    def codec(self) -> TiffCodec:
        return tiff_codec(self.compression)

    def decode(self, stored: bytes, nbytes: int) -> bytes:
        """Return the pixels of a strip, `nbytes` bytes; raise an error of the codec if it cannot be decoded."""
        # a decoded strip may have padding
        return self.codec.decode(stored, 2 * nbytes + _MAX_PADDING_BYTES)[:nbytes]

    @property
    def strips(self) -> list[tuple[int, int]]:
        """(first row, end row) of each strip of a page without tiles."""
        height, rows = self.shape[0], self.rows_per_strip
        return [(row, min(row + rows, height)) for row in range(0, height, rows)]

    @property
    def strip_bytes(self) -> list[int]:
        """Size of each uncompressed strip or tile; tiles at the edges are padded."""
        if self.tile is None:
            return [(bottom - top) * self.row_bytes for top, bottom in self.strips]
        (height, width), (y, x) = self.shape[:2], self.tile
        return [self.row_bytes // width * y * x] * (-(-height // y) * -(-width // x))

    @property
    def stored_bytes(self) -> int:
        """Size of an uncompressed page in the file, gaps included."""
        sizes = self.strip_bytes
        return sum(sizes) + (len(sizes) - 1) * self.gap

    def entries(self) -> list[tuple[int, int, int, bytes]]:
        """Return (tag, field type, count, value) of each entry; offsets and byte counts have no value yet."""
        height, width, *rest = self.shape
        samples = rest[0] if rest else 1
        bits = [self.dtype.itemsize * 8] * samples
        formats = [_SAMPLE_FORMATS[self.dtype.kind]] * samples
        colors = 2 if samples == 3 else 1  # RGB; black is zero
        x, y = self.resolution or (Fraction(1), Fraction(1))
        unit = 1 if self.resolution is None else 3  # none; centimeter
        strips = len(self.strip_bytes)
        if self.tile is None:
            layout = [
                (STRIP_OFFSETS, _LONG8, strips, b""),
                (_ROWS_PER_STRIP, _LONG, 1, struct.pack("<I", self.rows_per_strip)),
                (STRIP_BYTE_COUNTS, _LONG8, strips, b""),
            ]
        else:
            layout = [
                (TILE_WIDTH, _LONG, 1, struct.pack("<I", self.tile[1])),
                (TILE_LENGTH, _LONG, 1, struct.pack("<I", self.tile[0])),
                (TILE_OFFSETS, _LONG8, strips, b""),
                (TILE_BYTE_COUNTS, _LONG8, strips, b""),
            ]
        levels = [(SUBFILE_TYPE, _LONG, 1, struct.pack("<I", 1))] if self.reduced else []
        if self.levels:
            levels.append((SUB_IFDS, _IFD8, self.levels, b""))
        levels += [(CHECKSUM, _LONG, 1, b"")] * self.checksum
        return [
            *levels,
            *layout,
            (256, _LONG, 1, struct.pack("<I", width)),  # ImageWidth
            (257, _LONG, 1, struct.pack("<I", height)),  # ImageLength
            (258, _SHORT, samples, struct.pack(f"<{samples}H", *bits)),  # BitsPerSample
            (259, _SHORT, 1, struct.pack("<H", self.codec.tag)),  # Compression
            (262, _SHORT, 1, struct.pack("<H", colors)),  # PhotometricInterpretation
            (277, _SHORT, 1, struct.pack("<H", samples)),  # SamplesPerPixel
            (282, _RATIONAL, 1, struct.pack("<II", x.numerator, x.denominator)),  # XResolution
            (283, _RATIONAL, 1, struct.pack("<II", y.numerator, y.denominator)),  # YResolution
            (284, _SHORT, 1, struct.pack("<H", 1)),  # PlanarConfiguration
            (296, _SHORT, 1, struct.pack("<H", unit)),  # ResolutionUnit
            (339, _SHORT, samples, struct.pack(f"<{samples}H", *formats)),  # SampleFormat
        ]


def _factor(full: int, reduced: int) -> int:
    """Return the power of two by which an extent was divided."""
    return 1 << int(-(-full // reduced) - 1).bit_length()


def _resolution(
    dimensions: Sequence[Dimension], factors: Sequence[int]
) -> tuple[Fraction, Fraction] | None:
    """Return pixels per centimeter along x and y; y and x are reduced by `factors`."""
    y, x = dimensions[-2:]
    if not (x.scale and y.scale):
        return None
    resolution = []
    for dim, factor in ((x, factors[1]), (y, factors[0])):
        centimeters = factor * float(dim.scale or 1) * si_value(dim.unit or "micrometer") * 100
        ratio = Fraction(1 / centimeters).limit_denominator(10**6)
        if not 0 < ratio < 2**32:
            return None
        while ratio.numerator >= 2**32:
            ratio = ratio.limit_denominator(max(1, ratio.denominator // 2))
        resolution.append(ratio)
    return resolution[0], resolution[1]
