"""Planes become whole chunks and shards in the library's own memory, where the library has transactions.

A plane is copied once, and the thread that appends has no more to do. What a flush finds of a region goes to disk, and
the next plane begins another transaction: the library then reads the region's file, adds to it and replaces it.
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
    from ome_writers.storage.libraries.region_grid import Key

__all__ = ["Transactions"]


@dataclass
class _Open:
    """A region whose planes are in a transaction; `lock` is held while it is used.

    `left`: it is no longer open. `ended`: it was stored.
    """

    transaction: Transaction
    planes: int
    slots: set[int] = field(default_factory=set)
    frames: list[int] = field(default_factory=list)
    lock: RLock = field(default_factory=new_lock)
    left: bool = False
    ended: bool = False

    @property
    def whole(self) -> bool:
        """Whether all its planes have come."""
        return len(self.slots) == self.planes


class Transactions:
    """The regions of some arrays, each a transaction of the library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open: OrderedDict[Key, _Open] = OrderedDict()  # touched longest ago first
        self._leaving: dict[int, tuple[Key, _Open]] = {}  # on their way to disk, by identity
        self._lock = new_lock()

    @property
    def leaving(self) -> bool:
        """Whether memory is on its way back."""
        return bool(self._leaving)

    def write(
        self, number: int, array: int, index: tuple[int, ...], frame: NDArray[np.generic]
    ) -> None:
        """Take one plane; have its region stored when that made it whole."""
        grid = self._library.grids[array]
        origin, slot = grid.split(index)
        key = (array, origin)
        nbytes = grid.plan.frame_bytes
        self._library.budget.reserve(nbytes)
        try:
            while not self._put(key, slot, number, index, frame):
                pass  # a flush took the region at this moment: the plane begins another
        except BaseException:
            self._library.budget.unreserve(nbytes)
            raise

    def read(self, key: Key, slot: int) -> NDArray[np.generic] | None:
        """Return a plane of an open region; None: what there is of it is on disk."""
        region = self._open.get(key)
        if region is not None:
            with region.lock:
                if slot in region.slots and not region.left:
                    grid = self._library.grids[key[0]]
                    index = grid.index(key[1], slot)
                    return region.transaction.get(grid.where(index, index))
        self._library.budget.wait_while(lambda: self._is_leaving(key))
        return None

    def submit(self) -> None:
        """Have all that is open stored."""
        with self._lock:
            regions = list(self._open.items())
        for key, region in regions:
            self._hand_over(key, region)

    def let_go(self) -> bool:
        """Have the region stored that was touched longest ago; False: none is open."""
        with self._lock:
            first = next(iter(self._open.items()), None)
        if first is not None:
            self._hand_over(*first)
        return first is not None

    def recover(self) -> None:
        """Store what an exception in `_hand_over` has left between two steps."""
        with self._lock:
            for key, region in list(self._leaving.values()):
                region.left = True
                if self._open.get(key) is region:
                    del self._open[key]
                self._submit_last(key, region)

    @property
    def lent_bytes(self) -> int:
        """Bytes of the budget that regions have."""
        regions = [(key, region) for key, region in list(self._open.items())]
        regions += list(self._leaving.values())
        grids = self._library.grids
        return sum(len(region.frames) * grids[key[0]].plan.frame_bytes for key, region in regions)

    def _put(
        self,
        key: Key,
        slot: int,
        number: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
    ) -> bool:
        """Put a plane into its region; False: it has just left."""
        region = self._open.get(key) or self._begin(key)
        with region.lock:
            if region.left:
                return False
            region.transaction.put(self._library.grids[key[0]].where(index, index), frame)
            region.slots.add(slot)
            region.frames.append(number)
            if not region.whole and len(self._open) > 1:
                with self._lock:
                    self._open.move_to_end(key)
        if region.whole:
            self._hand_over(key, region)
        return True

    def _begin(self, key: Key) -> _Open:
        """Open a region."""
        array, origin = key
        begin = self._library.arrays[array].begin
        assert begin is not None
        planes = self._library.grids[array].planes(origin)
        region = _Open(begin(planes), planes)
        with self._lock:
            self._open[key] = region
        return region

    def _hand_over(self, key: Key, region: _Open) -> None:
        """Have a region stored; it takes no more planes."""
        with region.lock:
            if region.left:
                return
            with self._lock:
                # first: what is in here, `recover` stores
                self._leaving[id(region)] = key, region
                region.left = True
                del self._open[key]
            self._submit_last(key, region)

    def _submit_last(self, key: Key, region: _Open) -> None:
        # one after the other where a flush came in between
        store = partial(self._store, key, region)
        self._library.background.submit(store, region.frames, serial_key=key)

    def _is_leaving(self, key: Key) -> bool:
        return any(leaving == key for leaving, _ in list(self._leaving.values()))

    def _store(self, key: Key, region: _Open) -> None:
        """Commit a region (in the background)."""
        if region.ended:
            return  # it was handed over twice, see `recover`
        region.ended = True
        array, origin = key
        stored, grid = self._library.stored, self._library.grids[array]
        nbytes = len(region.frames) * grid.plan.frame_bytes
        try:
            region.transaction.commit()
            stored.note_part(array, grid.region(origin), nbytes)
            stored.note_region(key, len(region.frames))
        finally:
            self._leaving.pop(id(region), None)
            self._library.budget.unreserve(nbytes)
