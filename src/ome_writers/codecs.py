"""The table of compressions: how each encodes chunks and strips, and how array metadata and IFDs name it.

Settings, engines, readers, `validate`, `repair`, `convert` and the command line ask this table. To add a compression,
add a row to `COMPRESSIONS` and its name to the literals below. A row that is added while a program runs works as well.
Engines on other libraries list the compressions that they support in their `EngineRow`.

Sources: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/index.html,
https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html, TIFF 6.0. Codec libraries are imported on first use.
"""

# Longer than 300 lines: the table, and what its rows need to encode and decode.
from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ome_writers.errors import EngineMissingError, UnsupportedError

# for type checkers and editors; a test compares them with the table, which decides what is valid
ZarrCompression: TypeAlias = Literal[
    "blosc-zstd",
    "blosc-lz4",
    "blosc-zstd-bitshuffle",
    "blosc-lz4-bitshuffle",
    "zstd",
    "gzip",
    "none",
]
TiffCompression: TypeAlias = Literal["lzw", "deflate", "zstd", "none"]
Compression: TypeAlias = Literal[ZarrCompression, TiffCompression]

Json = Mapping[str, Any]
Encoder = Callable[[Any], bytes]
"""Encodes an array of one axis, or a buffer; for OME-Zarr, to at most `max_encoded_bytes` bytes."""
Decoder = Callable[[bytes, int], bytes]
"""Decodes bytes; refuses results of more than the given number of bytes, before it allocates memory for them.

Raises ValueError, RuntimeError or OSError if the bytes cannot be decoded.
"""


@dataclass(frozen=True)
class ZarrCodec:
    """A codec of a Zarr array that encodes bytes; an array may have several.

    Attributes
    ----------
    name
        Name in ``zarr.json``, and ``id`` of Zarr v2.
    encode, decode
        The first codec of a row gets the samples as unsigned integers of their size.
    configuration
        Returns the members of ``configuration`` in ``zarr.json``, by the size of the samples in bytes; empty: it has
        none.
    members
        The members that its specification allows, each with the allowed values, or None if there are too many to list.
    identity
        The members that distinguish this codec from those of other rows with the same name.
    v2
        The ``compressor`` of ``.zarray``; None if Zarr v2 does not have this codec.
    """

    name: str
    encode: Encoder
    decode: Decoder
    configuration: Callable[[int], Json] = lambda _: {}
    members: Mapping[str, tuple[object, ...] | None] | None = None
    identity: tuple[str, ...] = ()
    v2: Json | None = None

    def metadata(self, item_bytes: int) -> dict[str, Any]:
        """Return the codec's entry in ``zarr.json``, for samples of this size."""
        configuration = dict(self.configuration(item_bytes))
        return {"name": self.name, **({"configuration": configuration} if configuration else {})}


class TiffCodec(NamedTuple):
    """The compression of the strips of a TIFF.

    Attributes
    ----------
    tag
        Value of the tag Compression.
    encode, decode
        Of a strip.
    other_tags
        Further values that mean the same.
    """

    tag: int
    encode: Encoder
    decode: Decoder
    other_tags: tuple[int, ...] = ()


@dataclass(frozen=True)
class CompressionRow:
    """One compression.

    Attributes
    ----------
    name
        Name in the settings.
    label
        What it is, for help texts and the documentation.
    zarr
        The codecs of an OME-Zarr array after ``bytes``, in the order of encoding; empty: uncompressed; None: OME-Zarr
        does not have this compression.
    tiff
        The compression of OME-TIFF; None: it does not have it.
    max_bytes
        Maximum size of a chunk before compression; None: unlimited.
    proposed
        Whether `advise` measures and proposes it.
    """

    name: str
    label: str
    zarr: tuple[ZarrCodec, ...] | None = None
    tiff: TiffCodec | None = None
    max_bytes: int | None = None
    proposed: bool = False


CRC32C_BYTES = 4  # its size


def max_encoded_bytes(nbytes: int) -> int:
    """Return the maximum size of `nbytes` after encoding."""
    return nbytes + (nbytes >> 8) + 1024


def crc32c(content: Any) -> bytes:
    """Return the CRC-32C of a contiguous buffer, as the codec of this name stores it."""
    from google_crc32c import value

    # it accepts bytes and arrays, but no memoryview
    return int(value(np.frombuffer(content, np.uint8))).to_bytes(CRC32C_BYTES, "little")


def _remove_crc32c(stored: bytes, max_bytes: int) -> bytes:
    content = stored[:-CRC32C_BYTES]
    if crc32c(content) != stored[-CRC32C_BYTES:]:
        raise OSError("the CRC-32C does not match")
    return content


def _lazy_decoder(name: str) -> Decoder:
    """Return a decoder of `decompression`, which is imported when it is first used."""

    def decode(stored: bytes, max_bytes: int) -> bytes:
        from ome_writers import decompression

        decoder: Decoder = getattr(decompression, name)
        return decoder(stored, max_bytes)

    return decode


decompress_blosc = _lazy_decoder("decompress_blosc")
decompress_zstd = _lazy_decoder("decompress_zstd")
decompress_zlib = _lazy_decoder("decompress_zlib")


def numcodec(configuration: Json) -> Any:
    """Return a codec of numcodecs, which release the interpreter lock."""
    from numcodecs.registry import get_codec

    return get_codec(configuration)


def _numcodecs_encoder(configuration: Json) -> Encoder:
    codec = cache(lambda: numcodec(configuration))
    return lambda content: bytes(codec().encode(content))


@cache
def _lzw() -> Any:
    """Return the library that encodes and decodes LZW."""
    try:
        import imagecodecs
    except ImportError:
        able = [name for name in TIFF_COMPRESSIONS if name not in ("lzw", "none")]
        raise EngineMissingError(
            "Compression 'lzw' needs the package imagecodecs: pip install \"ome-writers[tifffile]\". "
            f"Compressions {', '.join(map(repr, able))} work without."
        ) from None
    return imagecodecs


def blosc(cname: str, level: int, *, bitshuffle: bool = False) -> ZarrCodec:
    """Return the codec Blosc, which shuffles by the size of the samples: their bytes or their bits."""
    shuffle = 2 if bitshuffle else 1
    v2 = {"id": "blosc", "cname": cname, "clevel": level, "blocksize": 0, "shuffle": shuffle}
    return ZarrCodec(
        name="blosc",
        encode=_numcodecs_encoder(v2),
        decode=decompress_blosc,
        configuration=lambda item_bytes: {
            "cname": cname,
            "clevel": level,
            "shuffle": "bitshuffle" if bitshuffle else "shuffle",
            "typesize": item_bytes,
            "blocksize": 0,
        },
        identity=("cname", "shuffle") if bitshuffle else ("cname",),
        v2=v2,
    )


_ZSTD = {"id": "zstd", "level": 3}
_GZIP = {"id": "gzip", "level": 5}
_DEFLATE_LEVEL = 3  # higher levels take twice the time to save 1 % of camera noise
_MAX_BLOSC_BYTES = 2**31 - 1 - 16  # the header stores sizes as int32, including itself

CRC32C = ZarrCodec(
    name="crc32c",
    encode=lambda content: bytes(content) + crc32c(content),
    decode=_remove_crc32c,
    members={},
)
COMPRESSIONS: dict[str, CompressionRow] = {
    row.name: row
    for row in (
        CompressionRow(
            # For camera frames, level 3 takes 2 to 8 times as long as level 1, at the same ratio.
            name="blosc-zstd",
            label="Zstandard in Blosc, level 1, bytes shuffled",
            zarr=(blosc("zstd", 1),),
            max_bytes=_MAX_BLOSC_BYTES,
            proposed=True,
        ),
        CompressionRow(
            name="blosc-lz4",
            label="LZ4 in Blosc, level 5, bytes shuffled",
            zarr=(blosc("lz4", 5),),
            max_bytes=_MAX_BLOSC_BYTES,
            proposed=True,
        ),
        CompressionRow(
            name="blosc-zstd-bitshuffle",
            label="Zstandard in Blosc, level 1, bits shuffled",
            zarr=(blosc("zstd", 1, bitshuffle=True),),
            max_bytes=_MAX_BLOSC_BYTES,
            proposed=True,
        ),
        CompressionRow(
            name="blosc-lz4-bitshuffle",
            label="LZ4 in Blosc, level 5, bits shuffled",
            zarr=(blosc("lz4", 5, bitshuffle=True),),
            max_bytes=_MAX_BLOSC_BYTES,
            proposed=True,
        ),
        CompressionRow(
            name="lzw",
            label="LZW",
            tiff=TiffCodec(
                tag=5,
                encode=lambda strip: bytes(_lzw().lzw_encode(bytes(strip))),
                decode=lambda stored, size: bytes(_lzw().lzw_decode(stored, out=size)),
            ),
        ),
        CompressionRow(
            name="deflate",
            label="Deflate, level 3",
            tiff=TiffCodec(
                tag=8,
                encode=lambda strip: zlib.compress(strip, _DEFLATE_LEVEL),
                decode=decompress_zlib,
                other_tags=(32946,),
            ),
        ),
        CompressionRow(
            name="zstd",
            label="Zstandard, level 3",
            zarr=(
                ZarrCodec(
                    name="zstd",
                    encode=_numcodecs_encoder(_ZSTD),
                    decode=decompress_zstd,
                    configuration=lambda _: {"level": _ZSTD["level"], "checksum": False},
                    v2=_ZSTD,
                ),
            ),
            tiff=TiffCodec(tag=50000, encode=_numcodecs_encoder(_ZSTD), decode=decompress_zstd),
        ),
        CompressionRow(
            name="gzip",
            label="Gzip, level 5",
            zarr=(
                ZarrCodec(
                    name="gzip",
                    encode=_numcodecs_encoder(_GZIP),
                    decode=decompress_zlib,
                    configuration=lambda _: {"level": _GZIP["level"]},
                    v2=_GZIP,
                ),
            ),
        ),
        CompressionRow(
            name="none",
            label="uncompressed",
            zarr=(),
            tiff=TiffCodec(tag=1, encode=bytes, decode=lambda stored, _: stored),
        ),
    )
}
"""The compressions by name, in the order in which help texts list them."""


class _Names(AbstractSet[str]):
    """Names of the rows that have a part, in the order of the table; rows that are added later included."""

    def __init__(self, has_part: Callable[[CompressionRow], bool]) -> None:
        self._has_part = has_part

    def __iter__(self) -> Iterator[str]:
        return (name for name, row in COMPRESSIONS.items() if self._has_part(row))

    def __contains__(self, name: object) -> bool:
        return any(name == own for own in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(set(self))

    def __hash__(self) -> int:
        return hash(frozenset(self))

    @classmethod
    def _from_iterable(cls, names: Iterable[str]) -> AbstractSet[str]:  # type: ignore[override] # of an operator
        return frozenset(names)


ZARR_COMPRESSIONS: AbstractSet[str] = _Names(lambda row: row.zarr is not None)
"""The compressions of OME-Zarr."""
TIFF_COMPRESSIONS: AbstractSet[str] = _Names(lambda row: row.tiff is not None)
"""The compressions of OME-TIFF."""


def find_compression(name: str) -> CompressionRow:
    """Return the row of a compression; raise UnsupportedError if there is none."""
    if name not in COMPRESSIONS:
        raise UnsupportedError(
            f"Unknown compression {name!r}. The compressions are: {', '.join(COMPRESSIONS)}."
        )
    return COMPRESSIONS[name]


def zarr_codecs(compression: str, *, checksum: bool = False) -> tuple[ZarrCodec, ...]:
    """Return the codecs of a compression of OME-Zarr, with `checksum` CRC-32C last.

    Raises UnsupportedError if OME-Zarr does not have the compression.
    """
    codecs = find_compression(compression).zarr
    if codecs is None:
        raise UnsupportedError(
            f"Compression {compression!r} is not supported for OME-Zarr. Supported: {tuple(ZARR_COMPRESSIONS)}."
        )
    return (*codecs, CRC32C) if checksum and codecs[-1:] != (CRC32C,) else codecs


def tiff_codec(compression: str) -> TiffCodec:
    """Return the codec of a compression of OME-TIFF; raise UnsupportedError if it does not have it."""
    codec = find_compression(compression).tiff
    if codec is None:
        raise UnsupportedError(
            f"Compression {compression!r} is not supported for OME-TIFF. Supported: {tuple(TIFF_COMPRESSIONS)}."
        )
    return codec


_READ_ONLY = (CRC32C, ZarrCodec("zlib", zlib.compress, decompress_zlib))
"""Codecs of other programs, which no row has."""


def find_zarr_codec(name: str) -> ZarrCodec | None:
    """Return a codec that has this name in array metadata; None if it is not in the table."""
    codecs = (codec for row in COMPRESSIONS.values() for codec in row.zarr or ())
    return next((codec for codec in (*codecs, *_READ_ONLY) if codec.name == name), None)


def compression_of_tag(tag: int) -> str:
    """Return the compression that a value of the TIFF tag Compression means; ``tiff-N`` if it is not in the table."""
    for name, row in COMPRESSIONS.items():
        if row.tiff is not None and tag in (row.tiff.tag, *row.tiff.other_tags):
            return name
    return f"tiff-{tag}"
