"""The engine for libraries that accept writes to any part of an array at any time.

A library that gets a shard frame by frame reads, changes and rewrites the shard for each frame. So planes are assembled
first: in the library's memory if it has transactions (`transactions`), otherwise in ours (`regions`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.files import atomic_write
from ome_writers.storage.libraries.library import Library
from ome_writers.storage.libraries.region_grid import RegionGrid
from ome_writers.storage.libraries.regions import Regions
from ome_writers.storage.libraries.transactions import Transactions
from ome_writers.storage.libraries.written_regions import WrittenRegions
from ome_writers.storage.memory_budget import MemoryBudget
from ome_writers.storage.zarr import ArrayMetadataWriter, array_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.libraries.library import LibraryArray

__all__ = ["LibraryEngine"]

_MIN_TRANSACTION_BYTES = 512 * 2**10  # per plane, for a transaction to be as fast as a second copy


class LibraryEngine:
    """An engine on a library's arrays; see `storage.contract.Engine`.

    Parameters
    ----------
    root, targets, options
        As for every engine.
    open_array
        Opens an array of the library, given its directory, its array metadata and its regions. The growing axis of that
        metadata has the extent `region_grid.UNBOUNDED_EXTENT`, so that the library never resizes the array.

    Notes
    -----
    `Options.buffer_bytes` bounds the planes in memory. The library uses additional memory to assemble a file, about the
    size of the file.
    """

    def __init__(
        self,
        root: Path,
        targets: Sequence[ArrayTarget],
        options: Options,
        open_array: Callable[[Path, dict[str, Any], RegionGrid], LibraryArray],
    ) -> None:
        self._root = root
        durable = options.durable
        self._durable = durable
        self._array_metadata = ArrayMetadataWriter(
            root, [(t.key, t.plan) for t in targets], durable=durable
        )
        self._flush_lock = threading.Lock()
        self._closed = False
        self._array_metadata.write([t.plan.shape for t in targets])
        grids = [RegionGrid(t.plan, options.buffer_bytes) for t in targets]
        self._library = Library(
            [
                open_array(root / target.key, array_metadata(target.plan, grid.shape), grid)
                for target, grid in zip(targets, grids, strict=True)
            ],
            grids,
            WrittenRegions(root, [t.key for t in targets], grids, durable=durable),
            MemoryBudget(options.buffer_bytes, self._free_memory),
            Background(available_cpus(), name="ome-writers-library"),
        )
        self._regions = Regions(self._library)
        self._transactions = Transactions(self._library)
        self._assemblers = [
            self._transactions
            if array.begin and grid.plan.frame_bytes >= _MIN_TRANSACTION_BYTES
            else self._regions
            for array, grid in zip(self._library.arrays, grids, strict=True)
        ]
        if self._assemblers[0] is self._regions:
            # one region that is being filled, and those that are stored meanwhile
            pieces = min(grids[0].count, available_cpus() + 1)
            self._library.budget.prepare(grids[0].region_bytes, pieces)

    @property
    def failures(self) -> Sequence[WriteFailure]:
        return self._library.background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        self._array_metadata.add_frame(number, array, index)
        try:
            self._assemblers[array].write(number, array, index, frame)
        except Exception as error:  # of the library, on writing or on reading an evicted region
            self._library.background.failures.append(WriteFailure(error, (number,)))

    def recover(self, number: int) -> bool:
        self._regions.recover()
        self._transactions.recover()
        self._library.background.barrier()
        self._library.budget.set_used(self._regions.used_bytes + self._transactions.used_bytes)
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            self._regions.flush()
            self._transactions.flush()
            self._library.background.barrier()
            self._publish(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        grid = self._library.grids[array]
        plan = grid.plan
        plane = None
        if all(0 <= i < n for i, n in zip(index, grid.bounds, strict=True)):
            origin, slot = grid.split(index)
            key = (array, origin)
            plane = self._assemblers[array].read(key, slot)
            if plane is None and key in self._library.written:
                with self._library.file_lock(key):
                    plane = self._library.arrays[array].load(grid.select(index, index))
        if plane is None:
            return np.zeros(plan.frame_shape, plan.dtype)
        return plane.reshape(plan.frame_shape)

    def put(self, key: str, content: bytes) -> None:
        atomic_write(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            if self._closed:
                return
            self._closed = True
            for assembler in (self._regions, self._transactions):
                while assembler.evict_oldest():
                    pass
            self._library.background.barrier()
            for array in self._library.arrays:
                array.close()
            self._publish(shapes)
            self._library.background.close()
            self._library.budget.clear()

    def stats(self) -> EngineStats:
        written = self._library.written
        return EngineStats(
            written.frames,
            written.nbytes,
            self._library.background.depth,
            bytes_copied=written.nbytes,
            bytes_buffered=self._library.budget.used_bytes,
        )

    def _free_memory(self) -> bool:
        """Evict a region unless one is being stored; return False if the only option is to wait."""
        if self._regions.storing or self._transactions.storing:
            return False
        return self._regions.evict_oldest() or self._transactions.evict_oldest()

    def _publish(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Sync files if durable, then write the array metadata; errors are appended to `failures`."""
        try:
            self._library.written.sync()
            self._array_metadata.write(shapes)
        except OSError as error:
            frames = self._array_metadata.unpublished_frames(shapes)
            self._library.background.failures.append(
                WriteFailure(error, frames, repairable=bool(frames))
            )
