"""Progress file: which frames of a running acquisition are on disk, for other processes, without parsing metadata.

It is beside the lock of the output from its creation until the writer has closed it. A killed writer leaves it::

    header | run | run | ...

A run is the number of its first frame and its length. Frames are numbered by acquisition index, as in nested loops
(see `Router.strides`). The frames of all runs, one run after the other, are those that became readable, in this
order; a frame that was written again occurs again. If a stream continues a dataset, the first runs are the frames of
earlier writers. The header contains the last run, which may become longer. It is written after the runs before it, by
one small write; its checksum detects a header that is read meanwhile.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from ome_writers.file_sharing import remove
from ome_writers.storage.lock_file import LOCK_NAME, progress_path, sibling_path
from ome_writers.storage.positional_io import open_new, write_at

MAGIC = b"OMEWPRG1"
# magic, state, 0 or (if it continues a dataset) 1 + number of runs of earlier writers, number of runs before the last,
# first frame and length of the last run, number of frames of its own runs, time of the last flush (`time.time`)
HEADER = struct.Struct("<8sIIQQQQd")
RUN = struct.Struct("<QQ")
RUNS_AT = 64
STATES = ("writing", "complete", "cancelled", "failed", "replaced")
"""By number: those of datasets, and that of an output that its stream has removed, to create another one."""


class ProgressFile:
    """The progress file of a writer; for one thread at a time. It is not synced: its content ends with the process.

    `earlier` are the runs of earlier writers in a dataset that is continued.
    """

    def __init__(self, lock: Path, earlier: Sequence[tuple[int, int]] | None = None) -> None:
        self._lock, self._earlier = lock, int(earlier is not None)
        self._pending: list[tuple[int, int]] = []  # runs that are not in the file
        self._runs, self._first, self._length, self._frames = 0, 0, 0, 0  # as in the header
        with suppress(OSError):  # that of a killed writer, which another program may have open
            remove_progress(lock)
        self._fd = open_new(progress_path(lock))
        if earlier:
            with suppress(OSError):
                write_at(self._fd, [b"".join(RUN.pack(*run) for run in earlier)], RUNS_AT)
                self._runs = len(earlier)
                self._earlier += self._runs
        self.record(())

    def record(self, runs: Iterable[tuple[int, int]], state: str = "writing") -> None:
        """Add runs of frames that are on disk. On a full disk they are added by a later call."""
        self._pending += runs
        with suppress(OSError):
            self._write(STATES.index(state))

    def close(self, state: str, runs: Iterable[tuple[int, int]] = ()) -> None:
        """Record the end, for processes that have the file open, and remove it. A second call does nothing."""
        if self._fd >= 0:
            self.record(runs, state)
            os.close(self._fd)
            self._fd = -1
            with suppress(OSError):  # a program has it open; the next writer removes it
                remove_progress(self._lock)

    def _write(self, state: int) -> None:
        first, length, frames, complete = self._first, self._length, self._frames, []
        for start, count in self._pending:
            if length and start != first + length:
                complete.append(RUN.pack(first, length))
                length = 0
            first, length = (first, length + count) if length else (start, count)
            frames += count
        if complete:
            write_at(self._fd, [b"".join(complete)], RUNS_AT + self._runs * RUN.size)
        runs = self._runs + len(complete)
        header = HEADER.pack(MAGIC, state, self._earlier, runs, first, length, frames, time.time())
        write_at(self._fd, [header + crc32(header).to_bytes(4, "little")], 0)
        self._runs, self._first, self._length, self._frames = runs, first, length, frames
        self._pending.clear()


def remove_progress(lock: Path) -> None:
    """Remove the progress file of a lock, if there is one; followers that have it open can read it nevertheless."""
    path = progress_path(lock)
    if sys.platform == "win32":
        from ome_writers.windows_api import move_aside

        folder = lock.name == LOCK_NAME  # of the dataset, which may be removed next
        path = move_aside(path, sibling_path(lock.parent, "claim") if folder else lock)
    with suppress(FileNotFoundError):
        remove(path)
