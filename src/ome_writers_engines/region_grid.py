"""The division of an array into regions: the planes that are assembled in memory and given to a library at once.

A region is the part of an array that one file contains along the index axes (a shard, or a chunk). If a file contains a
single plane, several small planes form a region; if a shard exceeds the memory budget, a part of it that consists of
whole chunks does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from ome_writers import LevelSpec

UNBOUNDED_EXTENT = 2**40
"""Extent of a growing axis in the array metadata that a library gets; that on disk has the actual extent."""

_MAX_BATCH_BYTES = 2**20  # of small planes per region: enough to make the overhead negligible

Origin = tuple[int, ...]
"""A region's first index along each index axis."""

RegionKey = tuple[int, Origin]
"""Array number and origin of a region."""

Selection = tuple[slice, ...]
"""A part of an array, in pixels, y and x included."""


class RegionGrid:
    """The regions of one array, of up to `max_bytes`; a row of chunks is never divided, even if it is larger."""

    def __init__(self, level: LevelSpec, max_bytes: int) -> None:
        self.level = level
        self.shape = tuple(
            UNBOUNDED_EXTENT if i == level.growing else n for i, n in enumerate(level.shape)
        )
        self.bounds = self.shape[:-2]  # without y and x
        file = (level.shards or level.chunks)[:-2]
        # whether each file contains a single plane, so that no other plane is rewritten with it
        self.plane_per_file = math.prod(file) == 1
        # planes of a region along each index axis; fewer at the array's end
        self.extent = (
            self._batch_extent(min(_MAX_BATCH_BYTES, max_bytes // 2))
            if self.plane_per_file
            else self._divide(file, max_bytes // max(1, level.frame_bytes))
        )
        # whether a file contains several regions, so that storing one rewrites a part of it
        self.divides_files = not self.plane_per_file and self.extent != tuple(file)
        self._counts = [-(-n // e) for n, e in zip(self.bounds, self.extent, strict=True)]
        self.count = math.prod(self._counts)
        # size of the largest region
        self.region_bytes = self.planes((0,) * len(self.bounds)) * level.frame_bytes
        # slowest axis first; the growing axis is slowest, so that region numbers never change
        self._order = sorted(range(len(self.bounds)), key=lambda i: i != level.growing)

    def split(self, index: tuple[int, ...]) -> tuple[Origin, int]:
        """Return the origin of the region that contains a plane, and the plane's slot in it."""
        origin, slot = [], 0
        for i, extent, bound in zip(index, self.extent, self.bounds, strict=True):
            within = i % extent
            first = i - within
            slot = slot * min(extent, bound - first) + within
            origin.append(first)
        return tuple(origin), slot

    def index(self, origin: Origin, slot: int) -> list[int]:
        index = []
        for n, o in zip(reversed(self._extent_at(origin)), reversed(origin), strict=True):
            slot, within = divmod(slot, n)
            index.append(o + within)
        return index[::-1]

    def planes(self, origin: Origin) -> int:
        return math.prod(self._extent_at(origin))

    def number(self, origin: Origin) -> int:
        """Return the number of a region, which does not change when the array grows."""
        number = 0
        for i in self._order:
            cell = origin[i] // self.extent[i]
            number = cell if i == self.level.growing else number * self._counts[i] + cell
        return number

    def region(self, origin: Origin) -> Selection:
        extent = self._extent_at(origin)
        return self.select(origin, [o + n - 1 for o, n in zip(origin, extent, strict=True)])

    def select(self, first: Sequence[int], last: Sequence[int]) -> Selection:
        """Return the selection of the planes from index `first` to `last` (inclusive)."""
        index = [slice(a, b + 1) for a, b in zip(first, last, strict=True)]
        return (*index, slice(0, self.shape[-2]), slice(0, self.shape[-1]))

    def runs(self, origin: Origin, wanted: Sequence[bool]) -> Iterator[tuple[Selection, slice]]:
        """Yield selection and slots of each run of wanted planes within a row of the last index axis."""
        extent = self._extent_at(origin)
        row = extent[-1] if extent else 1
        start = 0
        while start < len(wanted):
            if not wanted[start]:
                start += 1
                continue
            stop = start + 1
            while stop < len(wanted) and stop % row and wanted[stop]:
                stop += 1
            selection = self.select(self.index(origin, start), self.index(origin, stop - 1))
            yield selection, slice(start, stop)
            start = stop

    def files(self, selection: Selection) -> Iterator[str]:
        """Yield the keys, below the array, of the chunk or shard files that contain a part of a selection."""
        file = self.level.shards or self.level.chunks
        cells = [
            range(part.start // n, -(-part.stop // n))
            for part, n in zip(selection, file, strict=True)
        ]
        for cell in itertools.product(*cells):
            yield "/".join(("c", *map(str, cell)))

    def _extent_at(self, origin: Origin) -> list[int]:
        return [min(e, b - o) for e, b, o in zip(self.extent, self.bounds, origin, strict=True)]

    def _batch_extent(self, max_bytes: int) -> tuple[int, ...]:
        """Return the extent of a batch of single-plane files, along the fastest axes."""
        planes = max(1, max_bytes // max(1, self.level.frame_bytes))
        extent = [1] * len(self.bounds)
        for i in reversed(range(len(extent))):
            extent[i] = min(planes, self.bounds[i])
            planes //= extent[i]
            if extent[i] < self.bounds[i]:
                break
        return tuple(extent)

    def _divide(self, file: Sequence[int], max_planes: int) -> tuple[int, ...]:
        """Return the extent of a file, divided along the slow axes first to whole chunks of `max_planes` planes."""
        extent = list(file)
        for i, chunk in enumerate(self.level.chunks[:-2]):
            others = math.prod(extent) // extent[i]
            max_extent = max(1, max_planes // (others * chunk)) * chunk
            if max_extent < extent[i]:
                # equal parts, so that a region is never in two files
                chunks = extent[i] // chunk
                divisors = (d for d in range(1, chunks + 1) if chunks % d == 0)
                extent[i] = chunk * max(d for d in divisors if d * chunk <= max_extent)
        return tuple(extent)
