"""What an engine needs from a library, and the state that its sinks share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.libraries.region_grid import RegionGrid, RegionKey, Selection
from ome_writers.storage.libraries.regions import Region
from ome_writers.storage.libraries.transactions import TransactionRegion
from ome_writers.storage.libraries.written_regions import WrittenRegions
from ome_writers.storage.write_buffer import WriteBuffer

_FILE_LOCKS = 64  # files that can be read and replaced at the same time


class LibraryArray(Protocol):
    """An array of a library; thread-safe for calls that concern different regions."""

    @property
    def begin(self) -> Callable[[int], Transaction] | None:
        """Begins a transaction of that many planes; None if the library has no transactions."""
        ...

    def store(self, selection: Selection, data: NDArray[np.generic]) -> None:
        """Write `data`; return when all of it is in its files, which appear atomically."""
        ...

    def load(self, selection: Selection) -> NDArray[np.generic]:
        """Read stored data; zeros where nothing was stored. Works after `close`."""
        ...

    def close(self) -> None:
        """Release what only `store` needs."""
        ...


class Transaction(Protocol):
    """Planes in a library's memory that are written to disk together; not thread-safe."""

    def put(self, selection: Selection, frame: NDArray[np.generic]) -> None:
        """Copy one plane (y, x)."""
        ...

    def get(self, selection: Selection) -> NDArray[np.generic]: ...

    def commit(self) -> None:
        """Write all planes; return when they are in their files, which appear atomically and keep other planes."""
        ...


@dataclass(frozen=True)
class Library:
    """The arrays of one engine, with the resources that its sinks share."""

    arrays: Sequence[LibraryArray]
    grids: Sequence[RegionGrid]
    written: WrittenRegions
    buffer: WriteBuffer[Region | TransactionRegion]
    _file_locks: Sequence[threading.Lock] = field(
        default_factory=lambda: [threading.Lock() for _ in range(_FILE_LOCKS)]
    )

    def file_lock(self, key: RegionKey) -> threading.Lock:
        """Return the lock that prevents reading the file of a region while it is replaced."""
        array, origin = key
        plan = self.grids[array].plan
        file = tuple(o // n for o, n in zip(origin, plan.shards or plan.chunks, strict=False))
        return self._file_locks[hash((array, file)) % len(self._file_locks)]
