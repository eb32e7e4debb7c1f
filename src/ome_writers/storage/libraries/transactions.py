"""Assembly of planes into whole chunks and shards in the memory of a library that has transactions.

Each plane is copied once, by the thread that appends. A flush also commits incomplete regions; the next plane then
begins another transaction, for which the library reads the region's file, adds to it and replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.locks import new_lock
from ome_writers.storage.write_buffer import Unit

if TYPE_CHECKING:
    from ome_writers.storage.libraries.library import LibrarySink, Transaction
    from ome_writers.storage.libraries.region_grid import RegionKey


class TransactionRegion(Unit):
    """A region whose planes are in a transaction."""

    def __init__(self, key: RegionKey, sink: LibrarySink, transaction: Transaction) -> None:
        # in order, if a flush divided the region into several transactions
        super().__init__(key[0], sink, key, by_reference=False)
        self.origin = key[1]
        self.transaction = transaction
        self._grid = sink.grids[self.group]
        self._planes = self._grid.planes(self.origin)
        self._slots: set[int] = set()
        self._lock = new_lock()  # of the transaction

    @property
    def key(self) -> RegionKey:
        return self.group, self.origin

    @property
    def nbytes(self) -> int:
        return len(self._slots) * self._grid.plan.frame_bytes

    @property
    def full(self) -> bool:
        return len(self._slots) == self._planes

    def add(self, number: int, slot: int, frame: NDArray[np.generic]) -> None:
        """Copy a plane, for which the caller has reserved memory."""
        index = self._grid.index(self.origin, slot)
        with self._lock:
            self.transaction.put(self._grid.select(index, index), frame)
            self._reserved_bytes += self._grid.plan.frame_bytes
            self.frames.append(number)
            self._slots.add(slot)

    def seal(self, *, resume: bool) -> None:
        with self._lock:  # no thread reads from the transaction while it is committed
            super().seal(resume=resume)

    def addresses(self) -> tuple[()]:
        return ()  # planes are replaced in the transaction

    def plane(  # pyright: ignore[reportIncompatibleMethodOverride] # each kind has its own address
        self, key: RegionKey, slot: int
    ) -> NDArray[np.generic] | None:
        if key != self.key:
            return None
        with self._lock:
            if slot not in self._slots or self.sealed is not None:
                return None
            index = self._grid.index(self.origin, slot)
            return self.transaction.get(self._grid.select(index, index))

    def _drop_planes(self) -> None:
        """Do nothing: the library has released its memory."""
