"""The direct engine: accepts planes in any order, and buffers at most its memory budget."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.direct.arrays import StoredArray
from ome_writers.storage.direct.assembly import Assembly
from ome_writers.storage.direct.write_through import WriteThrough
from ome_writers.storage.disk import Disk
from ome_writers.storage.files import atomic_write
from ome_writers.storage.zarr import ArrayMetadataWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.zarr import Cell

__all__ = ["DirectEngine", "open_engine"]

# With so many pending blocks, large frames are written through as well: the workers are behind.
_MIN_QUEUE_DEPTH = 3
_MAX_OPTIMISTIC_READS = 4  # then a reader blocks the writer
_TRUNCATE_TIMEOUT_S = 1.0  # for other processes to close a file that `close` truncates


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> DirectEngine:
    """Create the arrays of `targets` below `root` and return their engine."""
    return DirectEngine(root, targets, options)


class DirectEngine:
    """Writes Zarr v3 chunks and shards directly to local files; see `storage.contract.Engine`."""

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._durable = options.durable
        self._disk = Disk(durable=options.durable, direct_io=options.direct_io)
        self._arrays = [StoredArray(root / t.key, t.plan, self._disk) for t in targets]
        self._array_metadata = ArrayMetadataWriter(
            root, [(t.key, t.plan) for t in targets], durable=options.durable
        )
        self._array_metadata.write([t.plan.shape for t in targets])
        self._background = Background(available_cpus(), name="ome-writers-direct")
        self._write_through = WriteThrough()
        self._assembly = Assembly(
            self._arrays, self._background, options.buffer_bytes, self._record_written
        )
        self._buffered = self._assembly.buffered
        self._budget = self._assembly.budget
        self.reclaim = self._budget.reclaim  # see `storage.contract.LendingEngine`
        self._flush_lock = threading.Lock()
        self._stats_lock = threading.Lock()
        self._frames_written = 0
        self._bytes_written = 0
        self._bytes_copied = 0
        self._unpublished: list[int] = []  # frames on disk that no index or shape includes yet
        self._closed = False

    @property
    def failures(self) -> Sequence[WriteFailure]:
        return self._background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        stored = self._arrays[array]
        buffered = self._buffered[array]
        if buffered and stored.grid.split(index)[0] in buffered:
            # Otherwise the earlier frame could overwrite this one.
            self._assembly.submit_all(incomplete=False)
            self._background.barrier()
        if (
            stored.can_write_through
            and not owned
            and (stored.prefers_write_through or self._background.depth >= _MIN_QUEUE_DEPTH)
        ):
            try:
                if self._write_through.write(stored, index, frame):
                    self._unpublished.append(number)
                    return
            except Exception as error:
                self._background.failures.append(WriteFailure(error, (number,)))
                return
        self._assembly.add(number, array, index, frame, owned)

    def lend(self, array: int) -> NDArray[np.generic]:
        grid = self._arrays[array].grid
        return self._budget.lend(grid.frame_shape, grid.dtype)

    def recover(self, number: int) -> bool:
        self._assembly.recover()
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            self._assembly.submit_all(incomplete=True)
            self._background.barrier()
            self._publish(shapes, finish=False)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        cell, slot = self._arrays[array].grid.split(index)
        for _ in range(_MAX_OPTIMISTIC_READS):
            written = self._frames_written + self._write_through.frames
            plane, in_memory = self._read(array, cell, slot)
            # If no frame was written meanwhile, none was read while it was partially on disk.
            if in_memory or written == self._frames_written + self._write_through.frames:
                return plane
        with self._assembly.lock:  # blocks new frames
            return self._read(array, cell, slot)[0]

    def put(self, key: str, content: bytes) -> None:
        atomic_write(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            if self._closed:
                return
            self._closed = True
            self._assembly.submit_all(incomplete=True, last=True)
            self._background.barrier()
            self._publish(shapes, finish=True)
            self._background.close()
            self._disk.close()
            self._budget.clear()

    def stats(self) -> EngineStats:
        return EngineStats(
            self._frames_written + self._write_through.frames,
            self._bytes_written + self._write_through.nbytes,
            self._background.depth,
            bytes_copied=self._bytes_copied,
            bytes_buffered=self._budget.used_bytes,
            bytes_lent=self._budget.lent_bytes,
        )

    def _read(self, array: int, cell: Cell, slot: int) -> tuple[NDArray[np.generic], bool]:
        """Return a plane, and whether it was in memory and is therefore certain to be complete."""
        column = None
        plane = self._assembly.plane(array, cell, slot)
        if plane is None:
            column = self._arrays[array].load(cell)
            plane = self._assembly.plane(array, cell, slot)  # it may have been added meanwhile
        if plane is not None:
            return plane, True
        grid = self._arrays[array].grid
        plane = grid.empty_plane() if column is None else grid.extract_plane(column, slot)
        return plane, False

    def _record_written(self, frames: Sequence[int], nbytes: int, copied: int) -> None:
        """Count frames that are on disk (called in the background)."""
        with self._stats_lock:
            self._unpublished += frames
            self._frames_written += len(frames)
            self._bytes_written += nbytes
            self._bytes_copied += copied

    def _publish(self, shapes: Sequence[tuple[int, ...]], *, finish: bool) -> None:
        """Write indexes and array metadata; record an error like that of a worker."""
        with self._stats_lock:
            frames, self._unpublished = self._unpublished, []
        try:
            deadline = time.monotonic() + _TRUNCATE_TIMEOUT_S
            for array in self._arrays:
                if finish:
                    array.finish(deadline)
                else:
                    array.flush()
            self._disk.sync_all()
            self._array_metadata.write(shapes)
        except OSError as error:
            self._background.failures.append(WriteFailure(error, tuple(frames)))
