"""How fast a disk takes data and files: measured, in a file of its own that is removed again."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DiskSpeed", "measure_disk"]

BLOCK = 8 * 1024**2  # bytes a write
LEAST = 64 * 1024**2  # bytes: less would measure the first cache on the way


@dataclass(frozen=True)
class DiskSpeed:
    """What was measured.

    Attributes
    ----------
    path
        The folder.
    bytes_per_second
        A long write, until the last byte was forced to the medium.
    files_per_second
        New files of 4 KiB, each closed and renamed, as a chunk is.
    free
        Bytes.
    written
        How many bytes were written to find that out.
    """

    path: str
    bytes_per_second: float
    files_per_second: float
    free: int
    written: int


def measure_disk(folder: Path, seconds: float = 3.0) -> DiskSpeed:
    """Write for a while to a folder, and remove what was written.

    Parameters
    ----------
    folder
        Where the data will go; it must exist.
    seconds
        How long to write; forcing the data to the medium comes on top.

    Raises
    ------
    OSError
        If the folder cannot be written to, or is full.
    """
    free = shutil.disk_usage(folder).free
    # random bytes: a file system that compresses, or leaves zeros out, must not look faster
    block = os.urandom(BLOCK)
    with tempfile.TemporaryDirectory(prefix=".ome-writers-", dir=folder) as scratch:
        written, took = _stream(Path(scratch) / "stream", block, seconds, limit=free // 4)
        files = _many(Path(scratch), block[:4096], seconds / 3)
    return DiskSpeed(str(folder), written / took, files, free, written)


def _stream(path: Path, block: bytes, seconds: float, limit: int) -> tuple[int, float]:
    """Return how many bytes were written and how long that took, the medium included."""
    written = 0
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        while written < LEAST or time.perf_counter() - began < seconds:
            if written + len(block) > max(limit, len(block)):
                break
            written += file.write(block)
        os.fsync(file.fileno())
    return written, time.perf_counter() - began


def _many(folder: Path, content: bytes, seconds: float) -> float:
    """Return how many small files can be made in a second."""
    count = 0
    began = time.perf_counter()
    while (took := time.perf_counter() - began) < seconds or not count:
        path = folder / f"{count}.part"
        path.write_bytes(content)
        os.replace(path, folder / str(count))
        count += 1
    return count / took if took else float(count)
