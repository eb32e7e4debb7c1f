"""An array of a library that takes planes in one order only: its planes so far, and what they complete."""

from __future__ import annotations

import math
from array import array as number_array
from dataclasses import replace as changed
from typing import TYPE_CHECKING

from ome_writers.storage.zarr.shard_reader import ShardReader

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.storage.contract import ArrayTarget

__all__ = ["SequentialArray"]


class SequentialArray:
    """One array: its plan as the library writes it, and what was taken for it."""

    def __init__(self, root: Path, target: ArrayTarget) -> None:
        assert target.order is not None, "the registry refuses what does not come in nested loops"
        self.key = target.key
        shards = target.plan.shards or target.plan.chunks
        self.plan = changed(target.plan, shards=shards)
        self.order = target.order
        self.reader = ShardReader(root / target.key, self.plan)
        self.numbers = number_array("q")  # of the frames, in the order of arrival; -1: skipped
        # what the library brings to disk at once: one shard along the first axis, and all along the others
        extents = [shards[axis] for axis in self.order[:1]]
        extents += [self.plan.shape[axis] for axis in self.order[1:]]
        self.row_planes = math.prod(extents)
        self.most_kept = self.row_planes - 1  # the plane that finishes a row is not
        if self.plan.growing is None:
            self.most_kept = min(self.most_kept, math.prod(self.plan.shape[:-2]))

    def place(self, index: tuple[int, ...]) -> int:
        """Return which plane of the array this is, in the order of arrival."""
        place = 0
        for axis in self.order:
            place = place * self.plan.shape[axis] + index[axis]
        return place

    def is_finished(self, index: tuple[int, ...]) -> bool:
        """Whether all planes have come that are brought to disk together with this one."""
        return len(self.numbers) >= (self.place(index) // self.row_planes + 1) * self.row_planes

    def index(self, place: int) -> tuple[int, ...]:
        """Return the index of a plane in the order of arrival."""
        index = [0] * len(self.order)
        for axis in reversed(self.order):
            if axis == self.plan.growing:
                index[axis] = place
            else:
                place, index[axis] = divmod(place, self.plan.shape[axis])
        return tuple(index)
