"""Planes that wait for their partner before they are reduced along z."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.generic]
    Key = tuple[int, tuple[int, ...]]
    """Array and index of the plane that a pair becomes."""


class Waiting(NamedTuple):
    """Array, index and frame number of a plane, and after how many flushes it arrived."""

    source: int
    plane_index: tuple[int, ...]
    number: int
    flush: int


class WaitingPlanes:
    """At most one plane of each pair. Pixels that exceed `max_bytes` are dropped, oldest first, and read back."""

    def __init__(self, max_bytes: int, read: Callable[[int, tuple[int, ...]], Plane]) -> None:
        self._max_bytes = max_bytes
        self._read = read
        self._planes: dict[Key, Waiting] = {}
        self._pixels: dict[Key, Plane] = {}
        self._nbytes = 0

    def get(self, key: Key) -> Waiting | None:
        return self._planes.get(key)

    def items(self) -> list[tuple[Key, Waiting]]:
        return list(self._planes.items())

    def add(self, key: Key, waiting: Waiting, plane: Plane) -> None:
        """Add a plane, in place of an earlier one of the same pair."""
        self._drop(key)
        self._planes[key] = waiting
        self._pixels[key] = plane
        self._nbytes += plane.nbytes
        while self._nbytes > self._max_bytes:
            self._drop(next(iter(self._pixels)))

    def pop(self, key: Key) -> tuple[Waiting, Plane]:
        waiting = self._planes.pop(key)
        plane = self._drop(key)
        if plane is None:
            plane = self._read(waiting.source, waiting.plane_index)
        return waiting, plane

    def _drop(self, key: Key) -> Plane | None:
        """Return the pixels of a plane, which are not in memory any more."""
        plane = self._pixels.pop(key, None)
        self._nbytes -= 0 if plane is None else plane.nbytes
        return plane
