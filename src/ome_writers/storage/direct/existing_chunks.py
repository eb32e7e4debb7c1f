"""Which planes of an array are on disk when an engine continues it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.zarr import Cell, Grid, ShardPart


class ExistingChunks:
    """The chunks of an array that an earlier stream has written; `planes` tells which of its planes are on disk."""

    def __init__(self, grid: Grid, planes: NDArray[np.bool_]) -> None:
        self._grid = grid
        self._planes = planes
        self._completed: set[Cell] = set()  # columns that were partial

    def complete(self, cell: Cell) -> None:
        """Take note that a column will be written for the last time: with all its frames."""
        if self.partial_slots(cell):
            self._completed.add(cell)

    def partial_slots(self, cell: Cell) -> set[int]:
        """Return the filled slots of a column on disk; an empty set if all of them are."""
        return set() if cell in self._completed else self._partial_slots(cell)

    def _partial_slots(self, cell: Cell) -> set[int]:
        grid = self._grid
        window = tuple(slice(i * n, (i + 1) * n) for i, n in zip(cell, grid.chunk, strict=True))
        found = set(np.ravel_multi_index(self._planes[window].nonzero(), grid.chunk).tolist())
        return found if len(found) < grid.planes_in(cell) else set()

    def partial_chunks(self, shard: Cell, part: ShardPart) -> list[int]:
        """Return the numbers of the chunks of a shard that were not full when the array was continued."""
        grid = self._grid
        if grid.depth == 1:
            return []
        found = []
        for plane, inside in enumerate(np.ndindex(*grid.shard_shape)):
            cell = tuple(i * n + k for i, n, k in zip(shard, grid.shard_shape, inside, strict=True))
            if self._partial_slots(cell):
                found += [plane * grid.plane_chunks + inner for inner in part.inner]
        return found
