"""Reads the progress file of another process: which frames it has written since the last look."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from ome_writers.errors import InvalidFileError
from ome_writers.storage.lock_file import progress_path
from ome_writers.storage.positional_io import read_at, read_fully
from ome_writers.storage.progress_file import HEADER, MAGIC, RUN, RUNS_AT, STATES
from ome_writers.untrusted import open_regular

_RUNS_PER_READ = 4096
_MAX_HEADER_READS = 100
_RETRY_INTERVAL_S = 0.001


class ProgressHeader(NamedTuple):
    """What the header contains; see `progress_file`."""

    state: str
    resumed: bool
    earlier_runs: int
    runs: int
    first: int
    length: int
    frames: int
    updated: float

    @property
    def last(self) -> int | None:
        """Number of the frame that was recorded last."""
        return self.first + self.length - 1 if self.length else None


class ProgressReader:
    """An open progress file. It remains readable when its writer has removed it.

    Raises FileNotFoundError if there is none.
    """

    def __init__(self, lock: Path) -> None:
        self._path = progress_path(lock)
        self._fd = _open(self._path)
        self._run = 0  # the run that is read next, and how many of its frames were returned
        self._taken = 0

    def header(self) -> ProgressHeader:
        """Return the current header.

        Raises InvalidFileError if there is none.
        """
        for _ in range(_MAX_HEADER_READS):
            content = read_at(self._fd, HEADER.size + 4, 0)
            header, checksum = content[: HEADER.size], content[HEADER.size :]
            if crc32(header).to_bytes(4, "little") == checksum:
                magic, state, earlier, *rest = HEADER.unpack(header)
                if magic == MAGIC and state < len(STATES):
                    runs = max(0, earlier - 1)
                    return ProgressHeader(STATES[state], bool(earlier), runs, *rest)
                break
            time.sleep(_RETRY_INTERVAL_S)  # it is being written
        raise InvalidFileError(f"{self._path} is not a progress file of this version.")

    def new_runs(self, header: ProgressHeader) -> Iterator[range]:
        """Yield the numbers of the frames that became readable since the last call, up to `header`.

        Those of earlier writers are omitted.
        """
        self._run = max(self._run, header.earlier_runs)
        while self._run < header.runs:
            count = min(header.runs - self._run, _RUNS_PER_READ)
            content = read_fully(self._fd, count * RUN.size, RUNS_AT + self._run * RUN.size)
            for first, length in RUN.iter_unpack(content[: len(content) // RUN.size * RUN.size]):
                taken, self._taken = self._taken, 0
                self._run += 1
                yield range(first + taken, first + length)
            if len(content) < count * RUN.size:
                raise InvalidFileError(f"{self._path} is shorter than its header states.")
        if self._taken < header.length:
            taken, self._taken = self._taken, header.length
            yield range(header.first + taken, header.first + header.length)

    def all_runs(self, *, earlier: bool = False) -> Iterator[range]:
        """Yield the numbers of all frames so far, from the first one; with `earlier` also those of earlier writers."""
        self._run = self._taken = 0
        header = self.header()
        return self.new_runs(header._replace(earlier_runs=0) if earlier else header)

    def was_replaced(self) -> bool:
        """Return whether another writer has created a progress file at this path."""
        with suppress(OSError):
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        return False

    def is_current(self) -> bool:
        """Return whether the file is still at its path: it was neither replaced nor removed."""
        return os.path.exists(self._path) and not self.was_replaced()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


def _open(path: Path) -> int:
    if (
        sys.platform == "win32"
    ):  # where an open file cannot be removed, unless it was opened for that
        from ome_writers.windows_api import open_shared

        return open_shared(str(path))
    return open_regular(path)
