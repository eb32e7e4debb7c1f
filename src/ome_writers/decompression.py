"""Decoders of chunks and strips: they refuse more bytes than a chunk has before memory is allocated for them."""

from __future__ import annotations

import zlib
from typing import Any


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
    from numcodecs.registry import get_codec

    codec: Any = get_codec({"id": library_id})
    return bytes(codec.decode(stored))


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
