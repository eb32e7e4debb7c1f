"""Reading of encoded data: which codecs metadata name, and decoders of chunks and strips.

Decoders refuse more bytes than a chunk has before memory is allocated for them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from ome_writers.codecs import (
    COMPRESSIONS,
    CRC32C,
    CRC32C_BYTES,
    TIFF_COMPRESSIONS,
    Json,
    ZarrCodec,
    crc32c,
    numcodec,
)
from ome_writers.errors import EngineMissingError


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
    return bytes(numcodec({"id": library_id}).decode(stored))


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


def remove_crc32c(stored: bytes, max_bytes: int) -> bytes:
    content = stored[:-CRC32C_BYTES]
    if crc32c(content) != stored[-CRC32C_BYTES:]:
        raise OSError("the CRC-32C does not match")
    return content


@cache
def lzw() -> Any:
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


_READ_ONLY = (CRC32C, ZarrCodec("zlib", zlib.compress, decompress_zlib))
"""Codecs of other programs, which no row has."""


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
            and all(map(_matches, row.zarr, candidates))
        ]
        if found:  # a row that compares more members is more specific
            return max(found)[1]
    name, library = unchecked[0]["name"], unchecked[0].get("configuration", {}).get("cname")
    return f"{name}-{library}" if name == "blosc" else str(name)


def _matches(codec: ZarrCodec, stored: Json) -> bool:
    """Whether `stored`, an entry of array metadata (see `ArrayMetadata.codecs`), is this codec."""
    found = stored.get("configuration", {})
    own = (codec.v2 or {}) if "id" in found else codec.configuration(1)
    return stored["name"] == codec.name and all(
        found.get(member) == own.get(member) for member in codec.identity
    )
