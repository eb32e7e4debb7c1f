"""Order and completeness of the planes of an array, for a library that accepts them in one order only."""

from __future__ import annotations

import dataclasses
import math
from array import array as number_array
from pathlib import Path

from ome_writers import LevelSpec
from ome_writers.toolkit import ShardReader


class SequentialArray:
    """One array. A plane's *ordinal* is its number in the order of the array's planes."""

    def __init__(self, root: Path, target: LevelSpec) -> None:
        assert target.order is not None, "the registry refuses other orders than nested loops"
        self.key = target.key
        shards = target.shards or target.chunks  # the library always writes shards
        self.level = dataclasses.replace(target, shards=shards)
        self.order = target.order
        self.reader = ShardReader(root / target.key, self.level)
        self.frames = number_array("q")  # frame number of each plane so far, -1: skipped
        # what the library writes at once: a shard along the first axis of the order, all along the others
        extents = [shards[axis] for axis in self.order[:1]]
        extents += [self.level.shape[axis] for axis in self.order[1:]]
        self.row_planes = math.prod(extents)
        self.max_unwritten = self.row_planes - 1  # planes of an incomplete row
        if self.level.growing is None:
            self.max_unwritten = min(self.max_unwritten, math.prod(self.level.shape[:-2]))

    def ordinal(self, index: tuple[int, ...]) -> int:
        ordinal = 0
        for axis in self.order:
            ordinal = ordinal * self.level.shape[axis] + index[axis]
        return ordinal

    def index(self, ordinal: int) -> tuple[int, ...]:
        index = [0] * len(self.order)
        for axis in reversed(self.order):
            if axis == self.level.growing:
                index[axis] = ordinal
            else:
                ordinal, index[axis] = divmod(ordinal, self.level.shape[axis])
        return tuple(index)

    def is_row_complete(self, index: tuple[int, ...]) -> bool:
        """Whether the library has all planes that it writes together with this one."""
        return len(self.frames) >= (self.ordinal(index) // self.row_planes + 1) * self.row_planes
