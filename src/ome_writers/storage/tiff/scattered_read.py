"""Reading of many small pieces of a file that are near each other, such as the strip offsets of its IFDs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.positional_io import read_fully

_MAX_GAP_BYTES = 2**16  # that are read, too, to avoid another read
_MAX_READ_BYTES = 2**22


def read_pieces(fd: int, offsets: NDArray[np.int64], nbytes: int) -> NDArray[np.uint8]:
    """Return the `nbytes` at each offset, shape (offsets, nbytes); zeros after the end of the file."""
    out = np.zeros((len(offsets), nbytes), np.uint8)
    gaps = np.diff(offsets)
    ends = np.flatnonzero((gaps < 0) | (gaps > nbytes + _MAX_GAP_BYTES)) + 1
    for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(offsets)], strict=True):
        while start < stop:
            first = int(offsets[start])
            within = offsets[start:stop] - first
            count = int(np.searchsorted(within, max(1, _MAX_READ_BYTES - nbytes)))
            within = within[:count]
            size = int(within[-1]) + nbytes
            stored = np.frombuffer(read_fully(fd, size, first).ljust(size, b"\0"), np.uint8)
            pieces = np.lib.stride_tricks.sliding_window_view(stored, nbytes) if nbytes else None
            if pieces is not None:
                out[start : start + count] = pieces[within]
            start += count
    return out


def as_numbers(pieces: NDArray[np.uint8], dtype: str = "<u8") -> NDArray[np.int64]:
    """Return the numbers in each piece, shape (pieces, numbers)."""
    numbers: NDArray[np.int64] = np.ascontiguousarray(pieces).view(dtype).astype(np.int64)
    return numbers
