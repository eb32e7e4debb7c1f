"""The engine of libraries that take any part of an array at any time.

A library that is given a shard frame by frame reads, changes and rewrites the shard each time. So planes are put
together first: in the library's own memory where it has transactions (`transactions`), else in ours (`regions`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.files import atomic_write
from ome_writers.storage.libraries.library import Library
from ome_writers.storage.libraries.memory_budget import MemoryBudget
from ome_writers.storage.libraries.region_grid import RegionGrid
from ome_writers.storage.libraries.regions import Regions
from ome_writers.storage.libraries.transactions import Transactions
from ome_writers.storage.libraries.written_regions import WrittenRegions
from ome_writers.storage.zarr.array_metadata import ArrayMetadataWriter, array_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.libraries.library import LibraryArray

__all__ = ["LibraryEngine"]

# Bytes of a plane from which on a transaction costs no more than a second copy.
_LARGE = 512 * 2**10


class LibraryEngine:
    """An engine on a library's arrays; see `storage.contract.Engine`.

    Parameters
    ----------
    root, targets, options
        As for every engine.
    open_array
        Opens the array whose document lies in a folder, for the library. It is told the document with which to
        work: its growing axis has the extent `grid.ENDLESS`, so that nothing is ever resized; and the regions in
        which it will be written.

    Notes
    -----
    `Options.buffer_bytes` bounds the planes in memory. What a library itself takes to put a file together, about the
    size of the file, comes on top.
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
        self._flushing = threading.Lock()
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
            MemoryBudget(options.buffer_bytes, self._relieve),
            Background(available_cpus(), name="ome-writers-library"),
        )
        self._regions = Regions(self._library)
        self._transactions = Transactions(self._library)
        self._ways = [
            self._transactions if array.begin and grid.plan.frame_bytes >= _LARGE else self._regions
            for array, grid in zip(self._library.arrays, grids, strict=True)
        ]
        if self._ways[0] is self._regions:
            # one that is filled, and those that are stored meanwhile
            pieces = min(grids[0].count, available_cpus() + 1)
            self._library.budget.prepare(grids[0].most_bytes, pieces)

    @property
    def failures(self) -> Sequence[WriteFailure]:
        """Every error of a worker so far."""
        return self._library.background.failures

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Take one plane; see `storage.contract.Engine.write`."""
        self._array_metadata.add_frame(number, array, index)
        try:
            self._ways[array].write(number, array, index, frame)
        # refused by the library; or it was put aside, and cannot be read back
        except Exception as error:
            self._library.background.failures.append(WriteFailure(error, (number,)))

    def recover(self, number: int) -> bool:
        """Repair what an exception in `write` has left between two steps; see `storage.contract.Engine.recover`."""
        self._regions.recover()
        self._transactions.recover()
        self._library.background.barrier()
        self._library.budget.restore(self._regions.lent_bytes + self._transactions.lent_bytes)
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write all that is new; see `storage.contract.Engine.flush`."""
        with self._flushing:
            self._regions.submit()
            self._transactions.submit()
            self._library.background.barrier()
            self._publish(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane, from memory or from the library."""
        grid = self._library.grids[array]
        plan = grid.plan
        if not all(0 <= i < n for i, n in zip(index, grid.bounds, strict=True)):
            return np.zeros(plan.frame_shape, plan.dtype)
        origin, slot = grid.split(index)
        key = (array, origin)
        plane = self._ways[array].read(key, slot)
        if plane is None and key in self._library.stored:
            with self._library.gate(key):
                plane = self._library.arrays[array].load(grid.where(index, index))
        if plane is None:
            return np.zeros(plan.frame_shape, plan.dtype)
        return plane.reshape(plan.frame_shape)

    def put(self, key: str, content: bytes) -> None:
        """Replace a document below the root."""
        atomic_write(self._root / key, content, durable=self._durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write what is left; see `storage.contract.Engine.close`."""
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            for way in (self._regions, self._transactions):
                while way.let_go():
                    pass
            self._library.background.barrier()
            for array in self._library.arrays:
                array.close()
            self._publish(shapes)
            self._library.background.close()
            self._library.budget.clear()

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        stored = self._library.stored
        return EngineStats(stored.frames, stored.nbytes, self._library.background.depth)

    def _relieve(self) -> bool:
        """Have memory given back, unless some is on its way; False: there is nothing to do but wait."""
        if self._regions.leaving or self._transactions.leaving:
            return False
        return self._regions.let_go() or self._transactions.let_go()

    def _publish(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Force files to the medium, if asked for, and show the shapes; an error is kept like a worker's."""
        try:
            self._library.stored.sync()
            self._array_metadata.write(shapes)
        except OSError as error:
            hidden = self._array_metadata.unpublished_frames(shapes)
            self._library.background.failures.append(
                WriteFailure(error, hidden, repairable=bool(hidden))
            )
