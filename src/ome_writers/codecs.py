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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

from ome_writers.errors import EngineMissingError, UnsupportedError

# for type checkers and editors; a test compares them with the table, which decides what is valid
ZarrCompression: TypeAlias = Literal["blosc-zstd", "blosc-lz4", "zstd", "gzip", "none"]
TiffCompression: TypeAlias = Literal["lzw", "deflate", "zstd", "none"]
Compression: TypeAlias = Literal[
    "blosc-zstd", "blosc-lz4", "lzw", "deflate", "zstd", "gzip", "none"
]

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

    def matches(self, stored: Json) -> bool:
        """Whether `stored`, an entry of ``zarr.json`` or `untrusted.ArrayMetadata.codecs`, is this codec."""
        found = stored.get("configuration", {})
        own = (self.v2 or {}) if "id" in found else self.configuration(1)
        return stored["name"] == self.name and all(
            found.get(member) == own.get(member) for member in self.identity
        )


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

    @property
    def compressor_v2(self) -> Json | None:
        """The ``compressor`` of ``.zarray``; None: uncompressed. Raises UnsupportedError if Zarr v2 has no such one."""
        if not self.zarr:
            return None
        (codec, *others) = self.zarr
        if codec.v2 is None or others:
            able = [name for name in ZARR if all(c.v2 for c in zarr_codecs(name))]
            raise UnsupportedError(
                f"Compression {self.name!r} is not supported for OME-Zarr 0.4 (Zarr v2). Supported: {tuple(able)}."
            )
        return codec.v2


def max_encoded_bytes(nbytes: int) -> int:
    """Return the maximum size of `nbytes` after encoding."""
    return nbytes + (nbytes >> 8) + 1024


def decompress_blosc(stored: bytes, max_bytes: int) -> bytes:
    size = int.from_bytes(stored[4:8], "little") if len(stored) >= 16 else -1
    encoded = int.from_bytes(stored[12:16], "little")
    if len(stored) != encoded:  # Blosc itself reads beyond the end of a chunk that was cut
        raise ValueError(
            f"the header of the chunk declares {encoded} encoded bytes, it has {len(stored)}"
        )
    return _decompress("blosc", stored, size, max_bytes)


def decompress_zstd(stored: bytes, max_bytes: int) -> bytes:
    return _decompress("zstd", stored, _zstd_size(stored), max_bytes)


def decompress_zlib(stored: bytes, max_bytes: int) -> bytes:
    """Decode data of gzip or zlib, by its header."""
    out = b""
    while stored:  # there may be several members
        member = zlib.decompressobj(wbits=47)  # of gzip or zlib
        try:
            out += member.decompress(stored, max_bytes + 1 - len(out))
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(out) > max_bytes:
            raise ValueError(f"the chunk has more than {max_bytes} bytes, the maximum")
        if not member.eof:
            raise ValueError("the chunk is truncated")
        stored = member.unused_data.lstrip(b"\0")
    return out


def _decompress(library_id: str, stored: bytes, size: int, max_bytes: int) -> bytes:
    """Decode with numcodecs what declares to have `size` bytes."""
    if not 0 <= size <= max_bytes:
        raise ValueError(
            f"the header of the chunk declares {size} bytes, at most {max_bytes} are valid"
        )
    return bytes(_numcodec({"id": library_id}).decode(stored))


def _zstd_size(stored: bytes) -> int:
    """Return the decompressed size that a zstd frame declares, or the maximum of its blocks.

    Source: RFC 8878, sections 3.1.1.1 and 3.1.1.2.
    """
    if stored[:4] != b"\x28\xb5\x2f\xfd" or len(stored) < 6:
        raise ValueError("the chunk is not a zstd frame")
    descriptor = stored[4]
    single = descriptor >> 5 & 1
    at = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[descriptor >> 6]
    if width:
        size = int.from_bytes(stored[at : at + width], "little")
        return size + 256 if width == 2 else size
    size = 0
    while at + 3 <= len(stored):
        header = int.from_bytes(stored[at : at + 3], "little")
        kind, length = header >> 1 & 3, header >> 3
        size += 2**17 if kind == 2 else length
        at += 3 + (1 if kind == 1 else length)
        if header & 1:
            break
    return size


def _crc32c(content: Any) -> bytes:
    from google_crc32c import value

    return int(value(bytes(content))).to_bytes(4, "little")


def _without_crc32c(stored: bytes, max_bytes: int) -> bytes:
    content = stored[:-4]
    if _crc32c(content) != stored[-4:]:
        raise OSError("the CRC-32C does not match")
    return content


def _numcodec(configuration: Json) -> Any:
    """Return a codec of numcodecs, which release the interpreter lock."""
    from numcodecs.registry import get_codec

    return get_codec(configuration)


def _numcodecs_encoder(configuration: Json) -> Encoder:
    codec = cache(lambda: _numcodec(configuration))
    return lambda content: bytes(codec().encode(content))


@cache
def _lzw() -> Any:
    try:
        import imagecodecs
    except ImportError:
        able = [name for name in TIFF if name not in ("lzw", "none")]
        raise EngineMissingError(
            "Compression 'lzw' needs the package imagecodecs: pip install \"ome-writers[tifffile]\". "
            f"Compressions {', '.join(map(repr, able))} work without."
        ) from None
    return imagecodecs


def blosc(cname: str, level: int) -> ZarrCodec:
    """Return the codec Blosc, which shuffles by the size of the samples."""
    v2 = {"id": "blosc", "cname": cname, "clevel": level, "blocksize": 0, "shuffle": 1}
    return ZarrCodec(
        name="blosc",
        encode=_numcodecs_encoder(v2),
        decode=decompress_blosc,
        configuration=lambda item_bytes: {
            "cname": cname,
            "clevel": level,
            "shuffle": "shuffle",
            "typesize": item_bytes,
            "blocksize": 0,
        },
        members={
            "cname": ("lz4", "lz4hc", "blosclz", "zstd", "snappy", "zlib"),
            "clevel": tuple(range(10)),
            "shuffle": ("noshuffle", "shuffle", "bitshuffle"),
            "typesize": None,
            "blocksize": None,
        },
        identity=("cname",),
        v2=v2,
    )


_ZSTD = {"id": "zstd", "level": 3}
_GZIP = {"id": "gzip", "level": 5}
_DEFLATE_LEVEL = 3  # higher levels take twice the time to save 1 % of camera noise
_MAX_BLOSC_BYTES = 2**31 - 1 - 16  # the header stores sizes as int32, including itself

CRC32C = ZarrCodec(
    name="crc32c",
    encode=lambda content: bytes(content) + _crc32c(content),
    decode=_without_crc32c,
    members={},
)
_READ_ONLY = (CRC32C, ZarrCodec("zlib", zlib.compress, decompress_zlib))
"""Codecs of other programs, which no row has."""

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
                    members={"level": None, "checksum": (True, False)},
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
                    members={"level": tuple(range(10))},
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


ZARR: AbstractSet[str] = _Names(lambda row: row.zarr is not None)
"""The compressions of OME-Zarr."""
TIFF: AbstractSet[str] = _Names(lambda row: row.tiff is not None)
"""The compressions of OME-TIFF."""


def find_compression(name: str) -> CompressionRow:
    """Return the row of a compression; raise UnsupportedError if there is none."""
    if name not in COMPRESSIONS:
        raise UnsupportedError(
            f"Unknown compression {name!r}. The compressions are: {', '.join(COMPRESSIONS)}."
        )
    return COMPRESSIONS[name]


def zarr_codecs(compression: str) -> tuple[ZarrCodec, ...]:
    """Return the codecs of a compression of OME-Zarr; raise UnsupportedError if it does not have it."""
    codecs = find_compression(compression).zarr
    if codecs is None:
        raise UnsupportedError(
            f"Compression {compression!r} is not supported for OME-Zarr. Supported: {tuple(ZARR)}."
        )
    return codecs


def tiff_codec(compression: str) -> TiffCodec:
    """Return the codec of a compression of OME-TIFF; raise UnsupportedError if it does not have it."""
    codec = find_compression(compression).tiff
    if codec is None:
        raise UnsupportedError(
            f"Compression {compression!r} is not supported for OME-TIFF. Supported: {tuple(TIFF)}."
        )
    return codec


def compression_of_tag(tag: int) -> str:
    """Return the compression that a value of the TIFF tag Compression means; ``tiff-N`` if it is not in the table."""
    for name, row in COMPRESSIONS.items():
        if row.tiff is not None and tag in (row.tiff.tag, *row.tiff.other_tags):
            return name
    return f"tiff-{tag}"


def find_zarr_codec(name: str) -> ZarrCodec | None:
    """Return a codec that has this name in array metadata; None if it is not in the table."""
    codecs = (codec for row in COMPRESSIONS.values() for codec in row.zarr or ())
    return next((codec for codec in (*codecs, *_READ_ONLY) if codec.name == name), None)


def compression_of_codecs(stored: Sequence[Json]) -> str:
    """Return the compression whose codecs are in array metadata; the name of another codec if it is not in the table.

    Codecs of arrays are ignored, and checksums are unless the compression has one.
    """
    codecs = [codec for codec in stored if codec["name"] not in ("bytes", "transpose")]
    unchecked = [codec for codec in codecs if codec["name"] != CRC32C.name]
    for candidates in (codecs, unchecked):
        found = [
            (sum(len(codec.identity) for codec in row.zarr), name)
            for name, row in COMPRESSIONS.items()
            if row.zarr is not None
            and len(row.zarr) == len(candidates)
            and all(map(ZarrCodec.matches, row.zarr, candidates))
        ]
        if found:  # a row that compares more members is more specific
            return max(found)[1]
    name, library = unchecked[0]["name"], unchecked[0].get("configuration", {}).get("cname")
    return f"{name}-{library}" if name == "blosc" else str(name)
