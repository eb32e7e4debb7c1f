"""The engine for libraries that accept writes to any part of an array at any time.

A library that gets a shard frame by frame reads, changes and rewrites the shard for each frame. So planes are assembled
first: in the library's memory if it has transactions, otherwise in ours, see `regions`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers import LevelSpec, UnsupportedError
from ome_writers.toolkit import (
    ArrayMetadataWriter,
    ExistingArray,
    LocalStore,
    Options,
    WriteBuffer,
    WriteFailure,
    available_cpus,
    render_array_metadata,
)
from ome_writers_engines.library import LibrarySink
from ome_writers_engines.library_array import LibraryArray, Transaction
from ome_writers_engines.region_grid import RegionGrid, RegionKey
from ome_writers_engines.regions import Region, TransactionRegion

_MIN_TRANSACTION_BYTES = 512 * 2**10  # per plane, for a transaction to be as fast as a second copy


class LibraryEngine:
    """An engine on a library's arrays; see `storage.contract.Engine`.

    `open_array` opens an array of the library, given its directory, its array metadata and its regions. The growing
    axis of that metadata has the extent `region_grid.UNBOUNDED_EXTENT`, so that the library never resizes the array.

    Notes
    -----
    `Options.buffer_bytes` bounds the planes in memory. The library uses additional memory to assemble a file, about the
    size of the file.
    """

    def __init__(
        self,
        root: Path,
        targets: Sequence[LevelSpec],
        options: Options,
        open_array: Callable[[Path, dict[str, Any], RegionGrid], LibraryArray],
    ) -> None:
        store = LocalStore(root, durable=options.durable)
        self.put = store.put
        self._root = root
        self._buffer_bytes = options.buffer_bytes
        self._open_array = open_array
        self._array_metadata = ArrayMetadataWriter(store.put, ())
        self._flush_lock = threading.Lock()
        self._closed = False
        grids, arrays = self._open(targets)
        folders = [root / t.key for t in targets]
        self._buffer: WriteBuffer[Region | TransactionRegion] = WriteBuffer(
            len(targets), options.buffer_bytes, "ome-writers-library"
        )
        budget = self._buffer.budget
        self._sink = LibrarySink(root, folders, arrays, grids, budget, durable=options.durable)
        self.failures = self._buffer.background.failures
        self.stats = self._buffer.stats
        # by array: begins a transaction, None if planes are assembled in our memory
        self._begin_transaction = _transactions(arrays, grids)
        if self._begin_transaction[0] is None:
            # one region that is being filled, and those that are stored meanwhile
            pieces = min(grids[0].count, available_cpus() + 1)
            budget.prepare(grids[0].region_bytes, pieces)

    def add_arrays(
        self, targets: Sequence[LevelSpec], existing: Sequence[ExistingArray] = ()
    ) -> int:
        """See `storage.contract.ExtensibleEngine`; raises UnsupportedError for `existing` arrays."""
        if existing:
            raise UnsupportedError(
                "Engines of other libraries cannot continue arrays. Use the backend 'direct'."
            )
        with self._flush_lock:
            first = len(self._sink.grids)
            grids, arrays = self._open(targets)
            self._sink.add([self._root / target.key for target in targets], arrays, grids)
            self._begin_transaction += _transactions(arrays, grids)
            self._buffer.add_groups(len(targets))
            return first

    def _open(self, targets: Sequence[LevelSpec]) -> tuple[list[RegionGrid], list[LibraryArray]]:
        """Create arrays."""
        shapes = [target.shape for target in targets]
        ArrayMetadataWriter(self.put, targets).write(shapes)
        grids = [RegionGrid(target, self._buffer_bytes) for target in targets]
        arrays = [
            self._open_array(
                self._root / target.key, render_array_metadata(grid.level, grid.shape), grid
            )
            for target, grid in zip(targets, grids, strict=True)
        ]
        self._array_metadata.add(targets, shapes)
        return grids, arrays

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        self._array_metadata.add_frame(number, array, index)
        origin, slot = self._sink.grids[array].split(index)
        key = (array, origin)
        try:
            with self._buffer.lock:
                self._add(key, slot, number, frame)
        except Exception as error:  # of the library, on writing or on reading an incomplete region
            self._buffer.background.failures.append(WriteFailure(error, (number,)))

    def recover(self, number: int) -> bool:
        self._buffer.recover()
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            self._buffer.write_all()
            self._publish(shapes)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        grid = self._sink.grids[array]
        level = grid.level
        plane = None
        if all(0 <= i < n for i, n in zip(index, grid.bounds, strict=True)):
            origin, slot = grid.split(index)
            key = (array, origin)
            plane = self._buffer.plane(array, key, slot)
            if plane is None and self._begin_transaction[array] is not None:
                # cannot be read while it is committed
                self._buffer.budget.wait_while(lambda: self._is_committing(key))
            if plane is None and self._sink.was_written(key):
                with self._sink.file_lock(key):
                    plane = self._sink.arrays[array].load(grid.select(index, index))
        if plane is None:
            return np.zeros(level.frame_shape, level.numpy_dtype)
        return plane.reshape(level.frame_shape)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        with self._flush_lock:
            if self._closed:
                return
            self._closed = True
            self._buffer.write_all(last=True)
            for array in self._sink.arrays:
                array.close()
            self._publish(shapes)
            self._buffer.background.close()
            self._buffer.budget.clear()

    def _add(self, key: RegionKey, slot: int, number: int, frame: NDArray[np.generic]) -> None:
        """Add a plane to its region, and submit that if it is full."""
        buffer = self._buffer
        reserved = 0 if self._begin_transaction[key[0]] is None else frame.nbytes
        if reserved:
            buffer.budget.reserve(reserved)
        try:
            region = buffer.open.get(key) or self._begin(key)
            region.add(number, slot, frame)
        except Exception:
            buffer.budget.unreserve(reserved)
            raise
        if region.full:
            buffer.submit(region)
        elif len(buffer.open) > 1:  # least recently used first
            buffer.open[key] = buffer.open.pop(key)

    def _begin(self, key: RegionKey) -> Region | TransactionRegion:
        """Open a region, with its planes on disk if there are any; blocks while memory is short."""
        array, origin = key
        planes = self._sink.grids[array].planes(origin)
        begin = self._begin_transaction[array]
        region: Region | TransactionRegion
        if begin is not None:
            region = TransactionRegion(key, self._sink, begin(planes))
        else:
            budget = self._buffer.budget
            budget.wait_while(lambda: self._buffer.is_in_memory(array, key))  # until it is stored
            nbytes = planes * self._sink.grids[array].level.frame_bytes
            region = Region(key, self._sink, budget.acquire(nbytes))
            try:
                region.resume()
            except BaseException:
                region.release(budget)
                raise
        self._buffer.add(region)
        return region

    def _is_committing(self, key: RegionKey) -> bool:
        return self._buffer.is_in_memory(key[0], key) and key not in self._buffer.open

    def _publish(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Sync files if durable, then write the array metadata; errors are appended to `failures`."""
        try:
            self._sink.sync()
            self._array_metadata.write(shapes)
        except OSError as error:
            frames = self._array_metadata.unpublished_frames(shapes)
            self._buffer.background.failures.append(
                WriteFailure(error, frames, repairable=bool(frames))
            )


def _transactions(
    arrays: Sequence[LibraryArray], grids: Sequence[RegionGrid]
) -> list[Callable[[int], Transaction] | None]:
    """Return by array what begins a transaction; None if planes are assembled in our memory."""
    return [
        array.begin if grid.level.frame_bytes >= _MIN_TRANSACTION_BYTES else None
        for array, grid in zip(arrays, grids, strict=True)
    ]
