"""Strips in, stored bytes out; all of them release the interpreter lock."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ome_writers.errors import EngineMissingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Codec"]

_ZSTD_LEVEL = 3
_DEFLATE_LEVEL = 3  # camera noise: higher levels take twice the time for a percent


class Codec:
    """One compression of the settings.

    Raises
    ------
    EngineMissingError
        If its library is not installed.
    """

    def __init__(self, compression: str) -> None:
        self.encode, self._decode = _functions(compression)

    def decode(self, stored: bytes, nbytes: int) -> bytes:
        """Return the `nbytes` of a strip."""
        return self._decode(stored)[:nbytes]


def _functions(compression: str) -> tuple[Callable[[memoryview], bytes], Callable[[bytes], bytes]]:
    if compression == "deflate":
        return (lambda strip: zlib.compress(strip, _DEFLATE_LEVEL)), zlib.decompress
    if compression == "zstd":
        from numcodecs.zstd import Zstd

        zstd = Zstd(level=_ZSTD_LEVEL)
        return (lambda strip: bytes(zstd.encode(strip))), (
            lambda stored: bytes(zstd.decode(stored))
        )
    try:
        from imagecodecs import lzw_decode, lzw_encode
    except ImportError:
        raise EngineMissingError(
            "Compression 'lzw' needs the package imagecodecs: pip install 'ome-writers[tifffile]'. "
            "Compressions 'deflate' and 'zstd' work without."
        ) from None
    return (lambda strip: bytes(lzw_encode(bytes(strip)))), (
        lambda stored: bytes(lzw_decode(stored))
    )
