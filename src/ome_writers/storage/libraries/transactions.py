"""Assembly of planes into whole chunks and shards in the memory of a library that has transactions.

Each plane is copied once, by the thread that appends. A flush also commits incomplete regions; the next plane then
begins another transaction, for which the library reads the region's file, adds to it and replaces it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ome_writers.locks import new_lock

if TYPE_CHECKING:
    from _thread import RLock

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.storage.libraries.library import Library, Transaction
    from ome_writers.storage.libraries.region_grid import RegionKey

__all__ = ["Transactions"]


@dataclass
class _Region:
    """A region whose planes are in a transaction."""

    transaction: Transaction
    planes: int
    slots: set[int] = field(default_factory=set)
    frames: list[int] = field(default_factory=list)
    lock: RLock = field(default_factory=new_lock)  # of the transaction
    closed: bool = False  # accepts no more planes
    committed: bool = False

    @property
    def complete(self) -> bool:
        return len(self.slots) == self.planes


class Transactions:
    """The regions of some arrays, each a transaction of the library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open: OrderedDict[RegionKey, _Region] = OrderedDict()  # least recently used first
        self._closed: dict[int, tuple[RegionKey, _Region]] = {}  # by id, until committed
        self._lock = new_lock()

    @property
    def storing(self) -> bool:
        """Whether a region is being committed, after which the library releases its memory."""
        return bool(self._closed)

    def write(
        self, number: int, array: int, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> None:
        """Copy one plane; commit its region if that completes it."""
        grid = self._library.grids[array]
        origin, slot = grid.split(index)
        key = (array, origin)
        nbytes = grid.plan.frame_bytes
        self._library.budget.reserve(nbytes)
        try:
            while not self._put(key, slot, number, index, frame):
                pass  # a flush has just closed the region: begin another transaction
        except BaseException:
            self._library.budget.unreserve(nbytes)
            raise

    def read(self, key: RegionKey, slot: int) -> NDArray[np.generic] | None:
        """Return a plane of an open region; None if it can only be on disk."""
        region = self._open.get(key)
        if region is not None:
            with region.lock:
                if slot in region.slots and not region.closed:
                    grid = self._library.grids[key[0]]
                    index = grid.index(key[1], slot)
                    return region.transaction.get(grid.select(index, index))
        self._library.budget.wait_while(lambda: self._is_storing(key))
        return None

    def flush(self) -> None:
        """Close and submit all open regions."""
        with self._lock:
            regions = list(self._open.items())
        for key, region in regions:
            self._close(key, region)

    def evict_oldest(self) -> bool:
        """Submit the least recently used region; return False if none is open."""
        with self._lock:
            oldest = next(iter(self._open.items()), None)
        if oldest is not None:
            self._close(*oldest)
        return oldest is not None

    def recover(self) -> None:
        """Submit regions that an exception left between closing and the background queue."""
        with self._lock:
            for key, region in list(self._closed.values()):
                region.closed = True
                if self._open.get(key) is region:
                    del self._open[key]
                self._submit(key, region)

    @property
    def used_bytes(self) -> int:
        """Bytes of the memory budget that regions use."""
        regions = [*list(self._open.items()), *list(self._closed.values())]
        grids = self._library.grids
        return sum(len(region.frames) * grids[key[0]].plan.frame_bytes for key, region in regions)

    def _put(
        self,
        key: RegionKey,
        slot: int,
        number: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
    ) -> bool:
        """Put a plane into its region; return False if that has just been closed."""
        region = self._open.get(key) or self._begin(key)
        with region.lock:
            if region.closed:
                return False
            region.transaction.put(self._library.grids[key[0]].select(index, index), frame)
            region.slots.add(slot)
            region.frames.append(number)
            if not region.complete and len(self._open) > 1:
                with self._lock:
                    self._open.move_to_end(key)
        if region.complete:
            self._close(key, region)
        return True

    def _begin(self, key: RegionKey) -> _Region:
        array, origin = key
        begin = self._library.arrays[array].begin
        assert begin is not None
        planes = self._library.grids[array].planes(origin)
        region = _Region(begin(planes), planes)
        with self._lock:
            self._open[key] = region
        return region

    def _close(self, key: RegionKey, region: _Region) -> None:
        with region.lock:
            if region.closed:
                return
            with self._lock:
                self._closed[id(region)] = key, region  # first: `recover` submits these
                region.closed = True
                del self._open[key]
            self._submit(key, region)

    def _submit(self, key: RegionKey, region: _Region) -> None:
        # in order, if a flush divided the region into several transactions
        commit = partial(self._commit, key, region)
        self._library.background.submit(commit, region.frames, serial_key=key)

    def _is_storing(self, key: RegionKey) -> bool:
        return any(closed == key for closed, _ in list(self._closed.values()))

    def _commit(self, key: RegionKey, region: _Region) -> None:
        """Commit a region, in a background thread."""
        if region.committed:
            return  # `recover` submitted it again
        region.committed = True
        array, origin = key
        written, grid = self._library.written, self._library.grids[array]
        nbytes = len(region.frames) * grid.plan.frame_bytes
        try:
            region.transaction.commit()
            written.add_bytes(array, grid.region(origin), nbytes)
            written.add_region(key, len(region.frames))
        finally:
            self._closed.pop(id(region), None)
            self._library.budget.unreserve(nbytes)
