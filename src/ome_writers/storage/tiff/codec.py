"""Compression of strips; all codecs release the interpreter lock."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from ome_writers.errors import EngineMissingError

_ZSTD_LEVEL = 3
_DEFLATE_LEVEL = 3  # higher levels take twice the time to save 1 % of camera noise


class Codec(NamedTuple):
    """Encoder and decoder of one compression; a decoded strip may have padding."""

    encode: Callable[[memoryview], bytes]
    decode: Callable[[bytes], bytes]


@cache
def get_codec(compression: str) -> Codec:
    """Return the codec for a compression of the settings; raise EngineMissingError if its library is not installed."""
    if compression == "deflate":
        return Codec(lambda strip: zlib.compress(strip, _DEFLATE_LEVEL), zlib.decompress)
    if compression == "zstd":
        from numcodecs.zstd import Zstd

        zstd = Zstd(level=_ZSTD_LEVEL)
        return Codec(
            lambda strip: bytes(zstd.encode(strip)), lambda encoded: bytes(zstd.decode(encoded))
        )
    try:
        from imagecodecs import lzw_decode, lzw_encode
    except ImportError:
        raise EngineMissingError(
            "Compression 'lzw' needs the package imagecodecs: pip install \"ome-writers[tifffile]\". "
            "Compressions 'deflate' and 'zstd' work without."
        ) from None
    return Codec(
        lambda strip: bytes(lzw_encode(bytes(strip))), lambda encoded: bytes(lzw_decode(encoded))
    )


@lru_cache(maxsize=16)
def encode_zeros(compression: str, nbytes: int) -> bytes:
    """Return an encoded strip of `nbytes` zeros."""
    return get_codec(compression).encode(np.zeros(nbytes, np.uint8).data)
