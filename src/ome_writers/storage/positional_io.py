"""Complete reads and writes at an offset, on every platform."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Piece = bytes | memoryview | NDArray[np.generic]

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_MAX_BUFFERS = 512  # below IOV_MAX everywhere
_HAS_PWRITEV = hasattr(os, "pwritev")  # not on Windows, and on macOS from version 11 on
if sys.platform == "win32":
    from ome_writers.windows_api import pread as _pread
    from ome_writers.windows_api import pwrite as _pwrite
    from ome_writers.windows_api import set_sparse
else:
    _pread, _pwrite = os.pread, os.pwrite

# Linux bypasses the page cache with a flag, macOS with a call for the open file; Windows is not supported.
_O_DIRECT: int = getattr(os, "O_DIRECT", 0)
if sys.platform == "darwin":
    from fcntl import F_NOCACHE, fcntl

    def _bypass_cache(fd: int) -> None:
        fcntl(fd, F_NOCACHE, 1)

else:
    _bypass_cache: Callable[[int], None] | None = None
SUPPORTS_DIRECT_IO = _O_DIRECT != 0 or _bypass_cache is not None


def open_file(path: Path | str, *, create: bool = False, direct_io: bool = False) -> int:
    """Open a file for reading and writing; return its descriptor.

    With `direct_io` writes bypass the page cache; OSError with EINVAL or ENOTSUP if the file system cannot do that.
    """
    return _open(path, os.O_RDWR | (os.O_CREAT if create else 0), direct_io=direct_io)


def open_new(path: Path | str, *, direct_io: bool = False, sparse: bool = False) -> int:
    """Create or truncate a file and open it for writing; return its descriptor.

    For `direct_io` see `open_file`, for `sparse` see `make_sparse`.
    """
    fd = _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, direct_io=direct_io)
    if sparse:
        make_sparse(fd)
    return fd


def make_sparse(fd: int) -> None:
    """Mark a file as sparse where the platform requires it.

    Otherwise NTFS writes zeros up to the first frame that is stored far from the end; other file systems create holes
    without a mark. Failure is ignored: the file is correct without it.
    """
    if sys.platform == "win32":
        set_sparse(fd)


def write_at(fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> None:
    """Write all bytes of `buffers` consecutively at `offset`; OSError if they cannot all be written."""
    for first in range(0, len(buffers), _MAX_BUFFERS):
        batch = list(buffers[first : first + _MAX_BUFFERS])
        while batch:
            # without pwritev, one system call per buffer
            written = (
                os.pwritev(fd, batch, offset)  # type: ignore[attr-defined, unused-ignore]  # not on Windows
                if _HAS_PWRITEV
                else _pwrite(fd, batch[0], offset)
            )
            offset += written
            while batch and written >= len(batch[0]):
                written -= len(batch.pop(0))
            if written:
                batch[0] = memoryview(batch[0])[written:]


def adjacent_runs(
    parts: Sequence[bytes | memoryview], offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> list[tuple[int, Sequence[bytes | memoryview]]]:
    """Return offset and buffers of each `write_at` that writes pieces of `sizes` bytes at `offsets`.

    `parts` contains either each piece, in one or more buffers, or a single buffer with all pieces side by side.
    """
    breaks = np.flatnonzero(offsets[1:] != offsets[:-1] + sizes[:-1]) + 1
    if not len(breaks):
        return [(int(offsets[0]), parts)]
    if len(parts) < len(sizes):
        ends = np.cumsum([0, *sizes]).tolist()
        parts = [parts[0][a:b] for a, b in itertools.pairwise(ends)]
    buffers = len(parts) // len(sizes)  # of a piece
    runs = itertools.pairwise([0, *breaks.tolist(), len(sizes)])
    return [(int(offsets[first]), parts[first * buffers : last * buffers]) for first, last in runs]


def write_single(fd: int, buffer: Piece, nbytes: int, offset: int) -> None:
    """Write one contiguous buffer of `nbytes`, in any format, at `offset`: the fast path for small frames."""
    # numpy declares arrays as buffers from Python 3.12 on only
    if _pwrite(fd, buffer, offset) != nbytes:  # type: ignore[arg-type, unused-ignore]  # see above
        # Incomplete: write all of it again, which repeats the same bytes.
        write_at(fd, [np.frombuffer(buffer, np.uint8).data], offset)


def patch_at(fd: int, offset: int, old: bytes, new: bytes) -> None:
    """Overwrite `old` at `offset` with `new` of the same length; do nothing if other bytes are there."""
    if len(old) == len(new) and read_at(fd, len(old), offset) == old:
        write_at(fd, [new], offset)


def read_at(fd: int, count: int, offset: int) -> bytes:
    """Return `count` bytes from `offset`, or fewer: up to the end of the file, at most 2 GiB."""
    return _pread(fd, count, offset)


def read_fully(fd: int, count: int, offset: int) -> bytes:
    """Return `count` bytes from `offset`, fewer only at the end of the file."""
    parts = []
    while count:
        part = read_at(fd, count, offset)
        if not part:
            break
        parts.append(part)
        count, offset = count - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _open(path: Path | str, flags: int, *, direct_io: bool) -> int:
    fd = os.open(path, flags | _FLAGS | (_O_DIRECT if direct_io else 0), 0o666)
    if direct_io and _bypass_cache is not None:
        try:
            _bypass_cache(fd)
        except OSError:
            os.close(fd)
            raise
    return fd
