"""How an array is cut into regions: the planes that are put together in memory and handed over at once.

A region is what one file holds along the index axes (a shard, or a chunk). Where a file holds a single plane, small
planes are taken several at a time; where a shard is larger than the memory there is, a part of it that consists of
whole chunks.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ome_writers.routing import ArrayPlan

__all__ = [
    "ENDLESS",
    "Key",
    "Origin",
    "RegionGrid",
    "Where",
]

ENDLESS = 2**40
"""Extent that a library is told for an axis without end; what the document says is ours."""

_BATCH = 2**20  # bytes of small planes handed over at once: enough to make the hand-over cheap

Origin = tuple[int, ...]
"""A region's first index along each index axis."""

Key = tuple[int, Origin]
"""A region: the number of its array, and its origin."""

Where = tuple[slice, ...]
"""A part of an array, in pixels, y and x included."""


class RegionGrid:
    """The regions of one array.

    Parameters
    ----------
    plan
        The array.
    most_bytes
        The most memory that one region may take; one row of chunks is taken all the same.

    Attributes
    ----------
    extent
        How many planes a region spans along each index axis (fewer at the array's end).
    bounds
        The extent of each index axis, `ENDLESS` for the growing one.
    shape
        The whole array's shape in pixels, as the library is told.
    independent
        Whether each plane has files of its own, so that planes can be written one by one for good.
    count, most_bytes
        The number of regions, and the size of the largest.
    divides
        Whether a file holds more than a region, so that a library has to change a part of it.
    """

    def __init__(self, plan: ArrayPlan, most_bytes: int) -> None:
        self.plan = plan
        self.shape = tuple(ENDLESS if i == plan.growing else n for i, n in enumerate(plan.shape))
        self.bounds = self.shape[:-2]
        file = (plan.shards or plan.chunks)[:-2]
        self.independent = math.prod(file) == 1
        self.extent = (
            self._batch(min(_BATCH, most_bytes // 2))
            if self.independent
            else self._part(file, most_bytes // max(1, plan.frame_bytes))
        )
        self.divides = not self.independent and self.extent != tuple(file)
        self._counts = [-(-n // e) for n, e in zip(self.bounds, self.extent, strict=True)]
        self.count = math.prod(self._counts)
        self.most_bytes = self.planes((0,) * len(self.bounds)) * plan.frame_bytes
        # the growing axis is counted slowest, so that the number of a region never changes
        self._order = sorted(range(len(self.bounds)), key=lambda i: i != plan.growing)

    def split(self, index: tuple[int, ...]) -> tuple[Origin, int]:
        """Return the origin of the region that holds a plane, and the plane's slot in it."""
        origin, slot = [], 0
        for i, extent, bound in zip(index, self.extent, self.bounds, strict=True):
            within = i % extent
            first = i - within
            slot = slot * min(extent, bound - first) + within
            origin.append(first)
        return tuple(origin), slot

    def planes(self, origin: Origin) -> int:
        """Return how many planes a region has."""
        return math.prod(self._lengths(origin))

    def region(self, origin: Origin) -> Where:
        """Return a region's place in the array."""
        return self.where(
            origin, [o + n - 1 for o, n in zip(origin, self._lengths(origin), strict=True)]
        )

    def where(self, first: Sequence[int], last: Sequence[int]) -> Where:
        """Return the place of the planes from index `first` to `last` (inclusive)."""
        index = [slice(a, b + 1) for a, b in zip(first, last, strict=True)]
        return (*index, slice(0, self.shape[-2]), slice(0, self.shape[-1]))

    def runs(self, origin: Origin, wanted: Sequence[bool]) -> Iterator[tuple[Where, slice]]:
        """Yield the place and the slots of each row of planes that are wanted."""
        lengths = self._lengths(origin)
        row = lengths[-1] if lengths else 1
        start = 0
        while start < len(wanted):
            if not wanted[start]:
                start += 1
                continue
            stop = start + 1
            while stop < len(wanted) and stop % row and wanted[stop]:
                stop += 1
            yield (
                self.where(self.index(origin, start), self.index(origin, stop - 1)),
                slice(start, stop),
            )
            start = stop

    def number(self, origin: Origin) -> int:
        """Return a number of its own for each region; it does not depend on how far the array grew."""
        number = 0
        for i in self._order:
            at = origin[i] // self.extent[i]
            number = at if i == self.plan.growing else number * self._counts[i] + at
        return number

    def files(self, where: Where) -> Iterator[str]:
        """Yield the keys, below the array, of the chunk or shard files that hold a part of it."""
        file = self.plan.shards or self.plan.chunks
        cells = [
            range(part.start // n, -(-part.stop // n)) for part, n in zip(where, file, strict=True)
        ]
        for cell in itertools.product(*cells):
            yield "/".join(("c", *map(str, cell)))

    def _lengths(self, origin: Origin) -> list[int]:
        """Return how many planes a region has along each index axis."""
        return [min(e, b - o) for e, b, o in zip(self.extent, self.bounds, origin, strict=True)]

    def index(self, origin: Origin, slot: int) -> list[int]:
        """Return the index of the plane in a slot."""
        index = []
        for n, o in zip(reversed(self._lengths(origin)), reversed(origin), strict=True):
            slot, at = divmod(slot, n)
            index.append(o + at)
        return index[::-1]

    def _batch(self, most_bytes: int) -> tuple[int, ...]:
        """Return how many planes of their own go together, along the fastest axes."""
        room = max(1, most_bytes // max(1, self.plan.frame_bytes))
        extent = [1] * len(self.bounds)
        for i in reversed(range(len(extent))):
            extent[i] = min(room, self.bounds[i])
            room //= extent[i]
            if extent[i] < self.bounds[i]:
                break
        return tuple(extent)

    def _part(self, file: Sequence[int], room: int) -> tuple[int, ...]:
        """Return `file`, or as much of it in whole chunks as has room, cut along the slow axes first."""
        extent = list(file)
        for i, chunk in enumerate(self.plan.chunks[:-2]):
            others = math.prod(extent) // extent[i]
            most = max(1, room // (others * chunk)) * chunk
            if most < extent[i]:
                # equal steps, so that a region never lies in two files
                steps = extent[i] // chunk
                fitting = (d for d in range(1, steps + 1) if steps % d == 0 and d * chunk <= most)
                extent[i] = chunk * max(fitting)
        return tuple(extent)
