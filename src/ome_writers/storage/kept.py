"""Planes that a library has taken, kept for `read` until they are in shards that are whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ome_writers.storage.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Index = tuple[int, ...]
    Shard = tuple[int, Index]
    """The number of an array, and the place of a shard in its grid of shards (y and x apart)."""

__all__ = ["KeptPlanes"]

# bytes that are kept before it is worth to look whether the oldest of them are on disk: memory that is used again is
# warm, new memory costs a fault a page
_YOUNG = 32 * 2**20


class KeptPlanes:
    """Copies of the latest planes; its methods are safe to call from any thread.

    Parameters
    ----------
    most_bytes
        The most that is kept; the oldest planes are let go first.
    is_whole
        Says whether a shard is on disk.

    Attributes
    ----------
    whole
        The shards that were found to be.
    """

    def __init__(self, most_bytes: int, is_whole: Callable[[Shard], bool]) -> None:
        self.whole: set[Shard] = set()
        self._is_whole = is_whole
        self._room = Room(most_bytes)
        self._planes: dict[Shard, dict[Index, NDArray[np.uint8]]] = {}  # oldest first
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, shard: Shard, index: Index, frame: NDArray[np.generic]) -> None:
        """Keep a copy of a plane."""
        if self._bytes + frame.nbytes > _YOUNG:
            self._let_go_of_the_oldest(but=shard)
        memory = self._room.take(frame.nbytes, self._forget)
        kept = memory.view(frame.dtype).reshape(frame.shape)
        kept[...] = frame
        with self._lock:
            self._planes.setdefault(shard, {})[index] = memory
            self._bytes += frame.nbytes

    def plane(self, shard: Shard, index: Index) -> NDArray[np.uint8] | None:
        """Return the bytes of a plane, which are the caller's; None when it is not kept."""
        with self._lock:
            memory = self._planes.get(shard, {}).get(index)
            return None if memory is None else memory.copy()

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._planes.clear()
            self._room.clear()

    def _let_go_of_the_oldest(self, but: Shard) -> None:
        """Let go of the oldest shard's planes if they can be read from it."""
        oldest = next(iter(self._planes), but)
        if oldest == but or not self._is_whole(oldest):
            return
        self.whole.add(oldest)
        with self._lock:
            for memory in self._planes.pop(oldest).values():
                self._give_back(memory)

    def _forget(self) -> bool:
        """Let go of the oldest plane, wherever it is; False: there is none."""
        with self._lock:
            oldest = next(iter(self._planes), None)
            if oldest is None:
                return False
            planes = self._planes[oldest]
            self._give_back(planes.pop(next(iter(planes))))
            if not planes:
                del self._planes[oldest]
            return True

    def _give_back(self, memory: NDArray[np.uint8]) -> None:
        self._bytes -= memory.nbytes
        self._room.give_back(memory)
