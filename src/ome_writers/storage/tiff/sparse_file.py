"""Sparse files: sizes beyond the data, without disk space or zeros being written for the difference."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ome_writers.storage.positional_io import write_at

if TYPE_CHECKING:
    from ome_writers.storage.tiff.allocator import Allocator

_MIN_PREALLOCATION, _MAX_PREALLOCATION = 2**20, 64 * 2**20  # bytes; in between, double the file


class Preallocation:
    """Keeps a growing file longer than its allocated space.

    Readers that cache the file size at open then find what is written shortly after within that size.
    """

    def __init__(self, allocator: Allocator, *, enabled: bool) -> None:
        self.enabled = enabled
        self.file_bytes = 0  # current size
        self._allocator = allocator

    def extend(self, fd: int) -> None:
        """Extend the file if less than half of the preallocated space is left."""
        end = self._allocator.end
        ahead = min(max(end, _MIN_PREALLOCATION), _MAX_PREALLOCATION)
        if self.enabled and end + ahead // 2 > self.file_bytes:
            extend_file(fd, end + ahead)
            self.file_bytes = end + ahead


def extend_file(fd: int, nbytes: int) -> None:
    """Extend a file to `nbytes`, with a hole at its end."""
    if os.name == "nt":  # where `os.ftruncate` writes each zero
        write_at(fd, [b"\0"], nbytes - 1)
    else:
        os.ftruncate(fd, nbytes)
