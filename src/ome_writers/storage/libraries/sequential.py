"""An array of a library that accepts planes in one order only: the planes that it has, and what they complete."""

from __future__ import annotations

import dataclasses
import math
from array import array as number_array
from typing import TYPE_CHECKING

from ome_writers.storage.zarr.shard_reader import ShardReader

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.storage.contract import ArrayTarget

__all__ = ["SequentialArray"]


class SequentialArray:
    """One array. A plane's *ordinal* is its number in the order of the array's planes.

    Attributes
    ----------
    plan
        Its plan with the shards that the library writes: of one chunk if none were requested.
    frames
        Frame number of each plane so far, -1 for skipped planes.
    row_planes
        Planes that the library writes at once: a shard along the first axis of the order, all along the others.
    max_unwritten
        Most planes of an incomplete row.
    """

    def __init__(self, root: Path, target: ArrayTarget) -> None:
        assert target.order is not None, "the registry refuses other orders than nested loops"
        self.key = target.key
        shards = target.plan.shards or target.plan.chunks
        self.plan = dataclasses.replace(target.plan, shards=shards)
        self.order = target.order
        self.reader = ShardReader(root / target.key, self.plan)
        self.frames = number_array("q")
        extents = [shards[axis] for axis in self.order[:1]]
        extents += [self.plan.shape[axis] for axis in self.order[1:]]
        self.row_planes = math.prod(extents)
        self.max_unwritten = self.row_planes - 1
        if self.plan.growing is None:
            self.max_unwritten = min(self.max_unwritten, math.prod(self.plan.shape[:-2]))

    def ordinal(self, index: tuple[int, ...]) -> int:
        ordinal = 0
        for axis in self.order:
            ordinal = ordinal * self.plan.shape[axis] + index[axis]
        return ordinal

    def index(self, ordinal: int) -> tuple[int, ...]:
        index = [0] * len(self.order)
        for axis in reversed(self.order):
            if axis == self.plan.growing:
                index[axis] = ordinal
            else:
                ordinal, index[axis] = divmod(ordinal, self.plan.shape[axis])
        return tuple(index)

    def is_row_complete(self, index: tuple[int, ...]) -> bool:
        """Whether the library has all planes that it writes together with this one."""
        return len(self.frames) >= (self.ordinal(index) // self.row_planes + 1) * self.row_planes
