"""Encode and decode chunks with numcodecs, whose codecs release the GIL."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.zarr.array_metadata import BLOSC, GZIP_LEVEL, ZSTD_LEVEL

# by compression in the settings
_CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **{
        name: {"id": "blosc", "cname": cname, "clevel": level, "shuffle": 1}
        for name, (cname, level) in BLOSC.items()
    },
    "zstd": {"id": "zstd", "level": ZSTD_LEVEL},
    "gzip": {"id": "gzip", "level": GZIP_LEVEL},
}


class Codec:
    """The codec of one array, by the name in the settings; Blosc shuffles by the size of the samples."""

    def __init__(self, compression: str, dtype: np.dtype[np.generic]) -> None:
        self._codec = None if compression == "none" else _numcodec(_CONFIGURATIONS[compression])
        self._name = "blosc" if compression in BLOSC else compression
        # numcodecs takes the item size from the buffer format; there is an unsigned integer of each size
        self._items = np.dtype(f"u{dtype.itemsize}") if dtype.itemsize <= 8 else np.dtype("u8")

    @property
    def identity(self) -> bool:
        """Whether chunks are stored uncompressed."""
        return self._codec is None

    def max_encoded_bytes(self, nbytes: int) -> int:
        """Return the maximum size of an encoded chunk of `nbytes`."""
        return nbytes if self._codec is None else nbytes + (nbytes >> 8) + 1024

    def encode(self, chunk: NDArray[np.generic]) -> bytes | memoryview:
        if self._codec is None:
            return chunk.reshape(-1).view(np.uint8).data
        return bytes(self._codec.encode(chunk.reshape(-1).view(self._items)))

    def decode(self, stored: bytes, max_bytes: int) -> bytes:
        """Decode a chunk; see `decompress` for the errors."""
        return stored if self._codec is None else decompress(self._name, stored, max_bytes)


def decompress(codec: str, stored: bytes, max_bytes: int) -> bytes:
    """Decode a chunk with a Zarr codec: "blosc", "zstd", "gzip" or "zlib".

    Raises ValueError, RuntimeError, OSError if it cannot be decoded, or would have more than `max_bytes` bytes: checked
    before memory is allocated.
    """
    if codec in ("gzip", "zlib"):
        return _decompress_gzip(stored, max_bytes)
    if codec == "blosc":
        size = int.from_bytes(stored[4:8], "little") if len(stored) >= 16 else -1
        encoded = int.from_bytes(stored[12:16], "little")
        if len(stored) != encoded:  # Blosc itself reads beyond the end of a chunk that was cut
            raise ValueError(
                f"the header of the chunk declares {encoded} encoded bytes, it has {len(stored)}"
            )
    else:
        size = _zstd_size(stored)
    if not 0 <= size <= max_bytes:
        raise ValueError(
            f"the header of the chunk declares {size} bytes, at most {max_bytes} are valid"
        )
    return bytes(_numcodec({"id": codec}).decode(stored))


def _decompress_gzip(stored: bytes, max_bytes: int) -> bytes:
    out = b""
    while stored:  # there may be several members
        member = zlib.decompressobj(wbits=47)  # of gzip or zlib, by its header
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


def _numcodec(configuration: Mapping[str, Any]) -> Any:
    from numcodecs.registry import get_codec  # not needed without compression

    return get_codec(configuration)
