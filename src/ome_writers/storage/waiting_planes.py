"""Planes that wait for their partner before they are reduced along z."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Address

if TYPE_CHECKING:
    Plane = NDArray[np.generic]


class Waiting(NamedTuple):
    """Array and index of a plane, and after how many flushes it arrived."""

    source: int
    plane_index: tuple[int, ...]
    flush: int


class WaitingPlanes:
    """At most one plane of each pair, by the address of the plane that the pair becomes.

    Pixels that exceed `max_bytes` are dropped, oldest first, and read back.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._planes: dict[Address, Waiting] = {}
        self._pixels: dict[Address, Plane] = {}
        self._nbytes = 0

    def get(self, target: Address) -> Waiting | None:
        return self._planes.get(target)

    def items(self) -> list[tuple[Address, Waiting]]:
        return list(self._planes.items())

    def add(self, target: Address, waiting: Waiting, plane: Plane) -> None:
        """Add a plane, in place of an earlier one of the same pair."""
        self._drop(target)
        self._planes[target] = waiting
        self._pixels[target] = plane
        self._nbytes += plane.nbytes
        while self._nbytes > self._max_bytes:
            self._drop(next(iter(self._pixels)))

    def pop(
        self, target: Address, read: Callable[[int, tuple[int, ...]], Plane]
    ) -> tuple[Waiting, Plane]:
        waiting = self._planes.pop(target)
        plane = self._drop(target)
        return waiting, read(waiting.source, waiting.plane_index) if plane is None else plane

    def _drop(self, target: Address) -> Plane | None:
        """Return the pixels of a plane, which are not in memory any more."""
        plane = self._pixels.pop(target, None)
        self._nbytes -= 0 if plane is None else plane.nbytes
        return plane
