"""Encoding and decoding of the chunks of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import CRC32C, CRC32C_BYTES, crc32c, max_encoded_bytes, zarr_codecs


class Codec:
    """The codecs of one array, by its compression in the settings.

    Raises UnsupportedError if the table of compressions does not have it for OME-Zarr.
    """

    def __init__(
        self, compression: str, dtype: np.dtype[np.generic], *, checksum: bool = False
    ) -> None:
        codecs = zarr_codecs(compression, checksum=checksum)
        self.checksum = codecs[-1:] == (CRC32C,)  # whether each chunk is followed by its CRC-32C
        self._codecs = codecs[:-1] if self.checksum else codecs
        # codecs take the item size from the buffer format; there is an unsigned integer of each size
        self._items = np.dtype(f"u{dtype.itemsize}") if dtype.itemsize <= 8 else np.dtype("u8")
        if codecs:
            self.encode(np.zeros(1, self._items))  # imports their libraries now, not in `append`

    @property
    def identity(self) -> bool:
        """Whether chunks are stored as they are in memory."""
        return not (self._codecs or self.checksum)

    @property
    def compressed(self) -> bool:
        """Whether chunks are compressed."""
        return bool(self._codecs)

    def max_encoded_bytes(self, nbytes: int) -> int:
        """Return the maximum size of an encoded chunk of `nbytes`; without compression, all have it."""
        size = max_encoded_bytes(nbytes) if self._codecs else nbytes
        return size + CRC32C_BYTES * self.checksum

    def is_possible_size(self, size: int, nbytes: int) -> bool:
        """Whether a stored chunk of `nbytes` can have this size."""
        return size > 1 if self._codecs else size == self.max_encoded_bytes(nbytes)

    def encode(self, chunk: NDArray[np.generic]) -> bytes | memoryview:
        """Return a stored chunk."""
        parts = self.encode_parts(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def encode_parts(self, chunk: NDArray[np.generic]) -> tuple[bytes | memoryview, ...]:
        """Return a stored chunk as buffers that are written one after the other; each chunk has equally many."""
        stored: Any = chunk.reshape(-1).view(self._items if self._codecs else np.uint8)
        for codec in self._codecs:
            stored = codec.encode(stored)
        content: bytes | memoryview = stored if self._codecs else stored.data
        return (content, crc32c(content)) if self.checksum else (content,)

    def decode(self, stored: bytes, max_bytes: int) -> bytes:
        """Decode a chunk of at most `max_bytes`; see `ome_writers.codecs.Decoder` for the errors."""
        if self.checksum:
            stored = CRC32C.decode(stored, len(stored))
        for position, codec in reversed(list(enumerate(self._codecs))):
            # what another codec has encoded may be larger than the chunk
            limit = 2 * max_encoded_bytes(max_bytes) if position else max_bytes
            stored = codec.decode(stored, limit)
        return stored
