"""Chunk bytes in, stored bytes out, by the codecs of numcodecs; they release the interpreter lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.zarr.document import BLOSC, GZIP_LEVEL, ZSTD_LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Codec"]


class Codec:
    """One compression of the settings.

    Parameters
    ----------
    compression
        ``"none"``, ``"blosc-zstd"``, ``"blosc-lz4"``, ``"zstd"`` or ``"gzip"``.
    dtype
        The samples' type: Blosc shuffles by its size.
    """

    def __init__(self, compression: str, dtype: np.dtype[np.generic]) -> None:
        self._codec = _numcodec(compression)
        # numcodecs takes the item size from the buffer's format; unsigned integers have one for each size
        self._items = np.dtype(f"u{dtype.itemsize}") if dtype.itemsize <= 8 else np.dtype("u8")

    @property
    def identity(self) -> bool:
        """Whether chunks are stored as they are."""
        return self._codec is None

    def most(self, nbytes: int) -> int:
        """Return the most bytes that a chunk of `nbytes` can become."""
        return nbytes if self._codec is None else nbytes + (nbytes >> 8) + 1024

    def encode(self, chunk: NDArray[np.generic]) -> bytes | memoryview:
        """Return the stored form of a contiguous chunk."""
        if self._codec is None:
            return chunk.reshape(-1).view(np.uint8).data
        return bytes(self._codec.encode(chunk.reshape(-1).view(self._items)))

    def decode(self, stored: bytes) -> bytes:
        """Return a chunk from its stored form."""
        return stored if self._codec is None else bytes(self._codec.decode(stored))


def _numcodec(compression: str):  # type: ignore[no-untyped-def]  # numcodecs has no type information
    if compression == "none":
        return None
    if compression in BLOSC:
        from numcodecs.blosc import SHUFFLE, Blosc

        name, level = BLOSC[compression]
        return Blosc(cname=name, clevel=level, shuffle=SHUFFLE)
    if compression == "zstd":
        from numcodecs.zstd import Zstd

        return Zstd(level=ZSTD_LEVEL)
    from numcodecs.gzip import GZip

    return GZip(level=GZIP_LEVEL)
