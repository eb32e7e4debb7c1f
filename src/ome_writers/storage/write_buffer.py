"""Gathers planes in units under one memory budget, has threads write them, and reads them back meanwhile.

An engine fills *units*: runs of planes of a shard or of pages, columns of chunks, regions. A sink writes each at once.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ome_writers.locks import new_lock
from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import EngineStats
from ome_writers.storage.memory_budget import MemoryBudget

Plane = NDArray[np.generic]

_MAX_OPTIMISTIC_READS = 4  # then a reader blocks the writer


class Sink(Protocol):
    """Writes units to disk; thread-safe for units with different serial keys."""

    def store(self, unit: Any, slots: frozenset[int] | None, /) -> None:
        """Write the planes of a unit in these slots, or all that it will ever have if `slots` is None."""
        ...


class Unit(ABC):
    """Planes that are written at once. Subclasses define how they are arranged in memory."""

    def __init__(
        self,
        group: int,
        sink: Sink,
        serial_key: Hashable | None,
        *,
        by_reference: bool,
        resumable: bool = False,
    ) -> None:
        self.group = group  # number of the array or file
        # writes the unit; units with the same key are written one after the other
        self.sink = sink
        self.serial_key = serial_key
        # whether the planes are references to memory of callers, or lent to them, instead of copies
        self.by_reference = by_reference
        # whether a flush writes a part of the unit, which then accepts more planes
        self.resumable = resumable
        self.frames: list[int] = []  # numbers of the frames that are not on disk yet
        # set when the unit accepts no more planes: the slots to write, None for all of them
        self.sealed: tuple[frozenset[int] | None] | None = None
        self.stored = False  # whether the unit was written for the last time
        self.store_lock = threading.Lock()  # held while the unit is written
        self._memory_lock = new_lock()  # held while the memory is read, or released
        self._buffers: list[NDArray[np.uint8]] = []
        self._reserved_bytes = 0  # of the memory of callers

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """The key of the unit while it is open."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of the planes; 0 if there is none."""

    @abstractmethod
    def addresses(self) -> Iterable[Hashable]:
        """Return what `WriteBuffer.addresses` contains because of this unit."""

    @abstractmethod
    def plane(self, *address: Any) -> Plane | None:
        """Return a copy of a plane; None if the unit does not contain it."""

    @abstractmethod
    def _drop_planes(self) -> None:
        """Forget all views of the memory."""

    def filled_slots(self) -> frozenset[int]:
        """Return the slots that a flush writes."""
        return frozenset()

    def seal(self, *, resume: bool) -> None:
        """Accept no more planes. With `resume` another unit will continue this one."""
        self.sealed = (self.filled_slots() if resume else None,)

    @property
    def used_bytes(self) -> int:
        """Bytes of the memory budget that the unit uses."""
        return sum(buffer.nbytes for buffer in self._buffers) + self._reserved_bytes

    def release(self, budget: MemoryBudget) -> None:
        """Return all memory."""
        with self._memory_lock:
            self._drop_planes()
            buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            budget.release(buffer)
        budget.unreserve(self._reserved_bytes)
        self._reserved_bytes = 0


U = TypeVar("U", bound=Unit)


class WriteBuffer(Generic[U]):
    """The units of an engine that are being filled or written.

    `groups` is the number of arrays, or files. With `syncs`, threads that write wait for the disk.
    """

    def __init__(self, groups: int, max_bytes: int, name: str, *, syncs: bool = False) -> None:
        # the memory of all units, and the threads that write them
        self.budget = MemoryBudget(max_bytes, self._submit_oldest)
        self.background = Background(available_cpus() * (2 if syncs else 1), name=name)
        self.lock = new_lock()  # held while a plane is added to a unit, or a unit is submitted
        self.open: dict[Hashable, U] = {}  # the units that accept planes, by key, oldest first
        # by group: the addresses that must not be written again before the unit that contains them is on disk
        self.addresses: list[set[Hashable]] = []
        # called before a unit is written, in the background: may wait until the disk has space
        self.before_store: Callable[[], None] | None = None
        self.planes_written = 0
        # see `EngineStats`
        self.frames_written = 0
        self.bytes_written = 0
        self.bytes_copied = 0
        self._stored: list[tuple[U, list[int]]] = []
        self._units: list[dict[int, U]] = []  # by id, oldest first
        self._counter_lock = threading.Lock()
        self.add_groups(groups)

    def add_groups(self, count: int) -> None:
        """Add arrays, or files. No other thread may be adding planes or be in `pop_stored`."""
        self.addresses += (set() for _ in range(count))
        self._units += ({} for _ in range(count))

    def add(self, unit: U) -> None:
        """Register an empty unit that has its memory, and open it."""
        self._units[unit.group][id(unit)] = unit
        self.open[unit.key] = unit

    def is_in_memory(self, group: int, key: Hashable) -> bool:
        """Whether a unit with this key is being filled or written."""
        return any(unit.key == key for unit in self.units(group))

    def units(self, group: int) -> list[U]:
        return list(self._units[group].values())

    def submit(self, unit: U, *, last: bool = True, resume: bool = False) -> None:
        """Have a unit written in its current state. If this is the `last` time, it accepts no more planes.

        After an exception in this method `recover` submits sealed units, and reopens others.
        """
        if last and unit.sealed is None:
            self.open.pop(unit.key, None)
            unit.seal(resume=resume)
        slots = unit.filled_slots() if unit.sealed is None else unit.sealed[0]
        self.background.submit(
            partial(self._store, unit, len(unit.frames), slots, last),
            unit.frames if last else tuple(unit.frames),
            unit.serial_key,
        )

    def submit_open(self, *, resumable: bool = True, last: bool = False) -> None:
        """Submit all open units. Resumable ones are submitted only if `resumable`, and stay open unless `last`."""
        with self.lock:
            for unit in list(self.open.values()):
                if last or not unit.resumable:
                    self.submit(unit)
                elif resumable and unit.frames:
                    self.submit(unit, last=False)

    def write_all(self, *, resumable: bool = True, last: bool = False) -> None:
        """Submit all open units, see `submit_open`, and return when they are on disk."""
        self.submit_open(resumable=resumable, last=last)
        self.background.barrier()

    def recover(self) -> None:
        """Restore a consistent state after an exception, and write all units that are not resumable."""
        with self.lock:
            # an interrupted engine may not have updated the key of a unit
            self.open = {key: unit for key, unit in self.open.items() if unit.key == key}
            open_ids = set(map(id, self.open.values()))
            for unit in [unit for units in self._units for unit in list(units.values())]:
                if not unit.nbytes and unit.sealed is None:
                    del self._units[unit.group][id(unit)]
                    self.open.pop(unit.key, None)
                elif id(unit) not in open_ids:
                    if unit.sealed is None:
                        self.open[unit.key] = unit
                    else:
                        self.submit(unit)
            self.write_all(resumable=False)
            self.budget.set_used(sum(unit.used_bytes for unit in self.open.values()))

    def plane(self, group: int, *address: Any) -> Plane | None:
        """Return a copy of a plane in memory; None if it is not in memory."""
        for unit in reversed(list(self._units[group].values())):
            plane = unit.plane(*address)
            if plane is not None:
                return plane
        return None

    def read(
        self,
        from_memory: Callable[[], Plane | None],
        from_disk: Callable[[], Plane],
        count: Callable[[], int],
    ) -> Plane:
        """Return a plane from memory or disk; `count` returns the number of planes on disk."""
        for _ in range(_MAX_OPTIMISTIC_READS):
            written = count()
            plane = from_memory()
            if plane is None:
                stored = from_disk()
                plane = from_memory()  # it may have been added meanwhile
                # If no plane was written meanwhile, none was read while it was partially on disk.
                if plane is None and written == count():
                    return stored
            if plane is not None:
                return plane
        with self.lock:  # blocks new frames
            plane = from_memory()
            return from_disk() if plane is None else plane

    def pop_stored(self) -> list[tuple[U, list[int]]]:
        """Return the units that were written since the last call, each with the numbers of its frames."""
        with self._counter_lock:
            stored, self._stored = self._stored, []
            return stored

    def stats(self) -> EngineStats:
        return EngineStats(
            self.frames_written,
            self.bytes_written,
            self.background.depth,
            bytes_copied=self.bytes_copied,
            bytes_buffered=self.budget.used_bytes,
            bytes_lent=self.budget.lent_bytes,
        )

    def _store(self, unit: U, count: int, slots: frozenset[int] | None, last: bool) -> None:
        """Write a unit, in the background."""
        with unit.store_lock:
            if unit.stored:
                return  # the last write overtook a flush, or the unit was submitted twice
            unit.stored = last
            try:
                if self.before_store is not None:
                    self.before_store()
                unit.sink.store(unit, slots)
                frames = unit.frames[: len(unit.frames) if last else count]
                with self._counter_lock:
                    self.planes_written += len(frames)
                    some_negative = min(frames, default=0) < 0
                    self.frames_written += (
                        sum(n >= 0 for n in frames) if some_negative else len(frames)
                    )
                    self.bytes_written += unit.nbytes
                    self.bytes_copied += 0 if unit.by_reference else unit.nbytes
                    self._stored.append((unit, frames))
                del unit.frames[: len(frames)]
            finally:
                if last:
                    self._units[unit.group].pop(id(unit), None)
                    self.addresses[unit.group].difference_update(unit.addresses())
                    unit.release(self.budget)

    def _submit_oldest(self) -> bool:
        """Submit the oldest open unit if no pending write will release memory."""
        if not self.background.depth:
            with self.lock:
                unit = next(iter(self.open.values()), None)
                if unit is not None:
                    self.submit(unit, resume=unit.resumable)
        return False
