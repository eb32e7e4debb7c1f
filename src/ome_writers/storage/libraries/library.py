"""What an engine needs of a library, and what all who give it planes share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.storage.background import Background
    from ome_writers.storage.libraries.memory_budget import MemoryBudget
    from ome_writers.storage.libraries.region_grid import Key, RegionGrid, Where
    from ome_writers.storage.libraries.written_regions import WrittenRegions

__all__ = ["Library", "LibraryArray", "Transaction"]

_GATES = 64  # files that can be read and replaced at the same time


class LibraryArray(Protocol):
    """An array as a library sees it. Its methods are called from any thread, for several parts at once."""

    @property
    def begin(self) -> Callable[[int], Transaction] | None:
        """What begins a transaction of so many planes; None where the library has none."""
        ...

    def store(self, where: Where, data: NDArray[np.generic]) -> None:
        """Write `data` and return when it is in its files, which appear whole."""
        ...

    def load(self, where: Where) -> NDArray[np.generic]:
        """Read back what was stored; zeros where nothing was."""
        ...

    def close(self) -> None:
        """Take note that nothing more will be stored; `load` goes on."""
        ...


class Transaction(Protocol):
    """Planes that a library keeps until all go to disk at once. One thread at a time calls it."""

    def put(self, where: Where, frame: NDArray[np.generic]) -> None:
        """Take one plane (y, x), which the caller may change from then on."""
        ...

    def get(self, where: Where) -> NDArray[np.generic]:
        """Return what was put there."""
        ...

    def commit(self) -> None:
        """Return when all is in its files, which appear whole, beside what was in them before."""
        ...


@dataclass(frozen=True)
class Library:
    """The arrays of one engine, and what is known of them.

    Attributes
    ----------
    arrays, grids
        Each array, and how it is cut into regions.
    stored
        What has been brought to disk.
    budget
        The memory that planes on their way may take.
    background
        The threads that give planes to the library.
    """

    arrays: Sequence[LibraryArray]
    grids: Sequence[RegionGrid]
    stored: WrittenRegions
    budget: MemoryBudget
    background: Background
    _gates: Sequence[threading.Lock] = field(
        default_factory=lambda: [threading.Lock() for _ in range(_GATES)]
    )

    def gate(self, key: Key) -> threading.Lock:
        """Return what keeps a reader from looking into a region's file while it is replaced."""
        array, origin = key
        plan = self.grids[array].plan
        file = tuple(o // n for o, n in zip(origin, plan.shards or plan.chunks, strict=False))
        return self._gates[hash((array, file)) % len(self._gates)]
