"""Encoding and decoding of the chunks of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import max_encoded_bytes, zarr_codecs


class Codec:
    """The codecs of one array, by its compression in the settings.

    Raises UnsupportedError if the table of compressions does not have it for OME-Zarr.
    """

    def __init__(self, compression: str, dtype: np.dtype[np.generic]) -> None:
        self._codecs = zarr_codecs(compression)
        # codecs take the item size from the buffer format; there is an unsigned integer of each size
        self._items = np.dtype(f"u{dtype.itemsize}") if dtype.itemsize <= 8 else np.dtype("u8")
        if self._codecs:
            self.encode(np.zeros(1, self._items))  # imports their libraries now, not in `append`

    @property
    def identity(self) -> bool:
        """Whether chunks are stored uncompressed."""
        return not self._codecs

    def max_encoded_bytes(self, nbytes: int) -> int:
        """Return the maximum size of an encoded chunk of `nbytes`."""
        return max_encoded_bytes(nbytes) if self._codecs else nbytes

    def encode(self, chunk: NDArray[np.generic]) -> bytes | memoryview:
        if not self._codecs:
            return chunk.reshape(-1).view(np.uint8).data
        stored: Any = chunk.reshape(-1).view(self._items)
        for codec in self._codecs:
            stored = codec.encode(stored)
        encoded: bytes = stored
        return encoded

    def decode(self, stored: bytes, max_bytes: int) -> bytes:
        """Decode a chunk of at most `max_bytes`; see `ome_writers.codecs.Decoder` for the errors."""
        for position, codec in reversed(list(enumerate(self._codecs))):
            # what another codec has encoded may be larger than the chunk
            limit = 2 * max_encoded_bytes(max_bytes) if position else max_bytes
            stored = codec.decode(stored, limit)
        return stored
