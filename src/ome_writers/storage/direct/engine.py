"""The engine: takes planes in any order, returns at once, and is never behind by more than its budget."""

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
from ome_writers.storage.zarr.array_metadata import ArrayMetadataWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.zarr.chunk_grid import Cell

__all__ = ["DirectEngine", "open_engine"]

_LOOKS = 4  # of a reader, before it has the writer wait
_PATIENCE = 1.0  # seconds that `close` waits for other processes to close a file that it will cut


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> DirectEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    return DirectEngine(root, targets, options)


class DirectEngine:
    """Writes Zarr v3 chunks and shards straight to local files; see `storage.contract.Engine`."""

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
        self._straight = WriteThrough(self._background)
        self._assembly = Assembly(
            self._arrays, self._background, options.buffer_bytes, self._landed
        )
        self._coming = self._assembly.coming
        self.lend = self._assembly.lend  # see `storage.contract.LendingEngine`
        self.reclaim = self._assembly.reclaim
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._frames_written = 0
        self._bytes_written = 0
        self._unindexed: list[int] = []  # frames on disk that no index or shape told of yet
        self._closed = False

    @property
    def failures(self) -> Sequence[WriteFailure]:
        """Every error of a worker so far."""
        return self._background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Take one plane; see `storage.contract.Engine.write`."""
        stored = self._arrays[array]
        coming = self._coming[array]
        if coming and stored.grid.split(index)[0] in coming:
            # or the earlier frame could land behind this one
            self._assembly.hand_over(parts=False)
            self._background.barrier()
        if stored.passes and not owned:
            try:
                if self._straight.write(stored, index, frame):
                    self._unindexed.append(number)
                    return
            except Exception as error:
                self._background.failures.append(WriteFailure(error, (number,)))
                return
        self._assembly.add(number, array, index, frame, owned)

    def recover(self, number: int) -> bool:
        """Repair what an exception in `write` has left between two steps; see `storage.contract.Engine.recover`."""
        self._assembly.recover()
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring all that was taken to disk and show it; see `storage.contract.Engine.flush`."""
        with self._flushing:
            self._assembly.hand_over(parts=True)
            self._background.barrier()
            self._publish(shapes, finish=False)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from disk."""
        cell, slot = self._arrays[array].grid.split(index)
        for _ in range(_LOOKS):
            landed = self._frames_written + self._straight.frames
            plane, certain = self._look(array, cell, slot)
            # no frame has come and landed meanwhile: none was half on disk
            if certain or landed == self._frames_written + self._straight.frames:
                return plane
        with self._assembly.lock:  # no frame can come now
            return self._look(array, cell, slot)[0]

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root."""
        atomic_write(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Bring everything to disk in its final form; see `storage.contract.Engine.close`."""
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            self._assembly.hand_over(parts=True, last=True)
            self._background.barrier()
            self._publish(shapes, finish=True)
            self._background.close()
            self._disk.close()
            self._assembly.clear()

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        straight = self._straight
        return EngineStats(
            self._frames_written + straight.frames,
            self._bytes_written + straight.nbytes,
            self._background.depth,
        )

    def _look(self, array: int, cell: Cell, slot: int) -> tuple[NDArray[np.generic], bool]:
        """Return a plane, and whether it is certain to be whole: it was in memory."""
        column = None
        plane = self._assembly.plane(array, cell, slot)
        if plane is None:
            column = self._arrays[array].load(cell)
            plane = self._assembly.plane(array, cell, slot)  # it may have come meanwhile
        if plane is not None:
            return plane, True
        grid = self._arrays[array].grid
        return grid.blank() if column is None else grid.plane(column, slot), False

    def _landed(self, frames: Sequence[int], nbytes: int) -> None:
        """Take note that frames are on disk (in the background)."""
        with self._counting:
            self._unindexed += frames
            self._frames_written += len(frames)
            self._bytes_written += nbytes

    def _publish(self, shapes: Sequence[tuple[int, ...]], *, finish: bool) -> None:
        """Bring indexes and shapes up to date; an error is kept like a worker's."""
        with self._counting:
            frames, self._unindexed = self._unindexed, []
        try:
            patience = time.monotonic() + _PATIENCE
            for array in self._arrays:
                if finish:
                    array.finish(patience)
                else:
                    array.flush()
            self._disk.sync_all()
            self._array_metadata.write(shapes)
        except OSError as error:
            self._background.failures.append(WriteFailure(error, tuple(frames)))
