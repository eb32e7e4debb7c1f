"""What an engine needs from a library."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ome_writers_engines.region_grid import Selection


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
