"""Reading and writing at an offset, whole, on every platform."""

from __future__ import annotations

import itertools
import os
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Piece = bytes | memoryview | NDArray[np.generic]

__all__ = ["open_file", "open_new", "read_at", "read_whole", "write_apart", "write_at", "write_one"]

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_MOST_BUFFERS = 512  # below IOV_MAX everywhere
_pwrite = getattr(os, "pwrite", None)
_seeking = threading.Lock()  # Windows has no positional calls: seek and write must not be parted


def open_file(path: Path | str, *, create: bool = False, flags: int = 0) -> int:
    """Open a file for reading and writing; return its descriptor."""
    return os.open(path, os.O_RDWR | _FLAGS | flags | (os.O_CREAT if create else 0), 0o666)


def write_at(fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> None:
    """Write all bytes of `buffers`, one after the other, at `offset`.

    Raises
    ------
    OSError
        If the bytes could not all be written.
    """
    if hasattr(os, "pwritev"):
        for first in range(0, len(buffers), _MOST_BUFFERS):
            offset = _write_some(fd, list(buffers[first : first + _MOST_BUFFERS]), offset)
        return
    with _seeking:
        os.lseek(fd, offset, os.SEEK_SET)
        for buffer in buffers:
            rest = memoryview(buffer)
            while rest:
                rest = rest[os.write(fd, rest) :]


def write_apart(
    fd: int,
    parts: Sequence[bytes | memoryview],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Write pieces of `sizes` bytes to their offsets; neighbours go with one call.

    `parts` are the pieces one by one, or all of them side by side in a single buffer.
    """
    breaks = np.flatnonzero(offsets[1:] != offsets[:-1] + sizes[:-1]) + 1
    if not len(breaks):
        write_at(fd, parts, int(offsets[0]))
        return
    if len(parts) != len(sizes):
        ends = np.cumsum([0, *sizes]).tolist()
        parts = [parts[0][a:b] for a, b in itertools.pairwise(ends)]
    for first, last in itertools.pairwise([0, *breaks.tolist(), len(parts)]):
        write_at(fd, parts[first:last], int(offsets[first]))


def write_one(fd: int, buffer: Piece, nbytes: int, offset: int) -> None:
    """Write the `nbytes` of one contiguous buffer of any format at `offset`, with the fewest steps."""
    if _pwrite is None or _pwrite(fd, buffer, offset) != nbytes:
        # again from the start: what is there already is the same
        write_at(fd, [np.frombuffer(buffer, np.uint8).data], offset)


def patch_at(fd: int, offset: int, old: bytes, new: bytes) -> None:
    """Overwrite `old` at `offset` by `new` of the same length; do nothing if other bytes are there."""
    if len(old) == len(new) and read_at(fd, len(old), offset) == old:
        write_at(fd, [new], offset)


def read_at(fd: int, count: int, offset: int) -> bytes:
    """Return `count` bytes from `offset`; fewer at the end of the file."""
    if hasattr(os, "pread"):
        return os.pread(fd, count, offset)
    with _seeking:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, count)


def read_whole(fd: int, count: int, offset: int) -> bytes:
    """Return `count` bytes from `offset`, fewer only where the file ends: the system gives 2 GiB at once."""
    parts = []
    while count:
        part = read_at(fd, count, offset)
        if not part:
            break
        parts.append(part)
        count, offset = count - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write_some(fd: int, buffers: list[bytes | memoryview], offset: int) -> int:
    """Write `buffers` with one call where the system takes all; return the offset behind them."""
    while buffers:
        written = os.pwritev(fd, buffers, offset)
        offset += written
        while buffers and written >= len(buffers[0]):
            written -= len(buffers.pop(0))
        if written:
            buffers[0] = memoryview(buffers[0])[written:]
    return offset


def open_new(path: Path | str, *, flags: int = 0) -> int:
    """Open an empty file for writing, whether it exists or not; return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS | flags, 0o666)
