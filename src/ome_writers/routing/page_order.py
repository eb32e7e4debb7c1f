"""Order of the pages in a TIFF file: the one rule for the engine, for OME-XML and for repair.

The pages form *rows*: a file of known size is a single row of all pages, array after array in storage order; a growing
file has a row per index of the growing axis, so that all arrays grow together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec


class PageOrder:
    """Page numbers of the planes of all arrays in one file."""

    def __init__(self, arrays: Sequence[LevelSpec]) -> None:
        # whether the number of rows is not known in advance
        self.grows = any(array.growing is not None for array in arrays)
        self.pages_per_row = 0  # number of pages in a row
        # by array: its first page in a row, and its number of pages there
        self.firsts: list[int] = []
        self.counts: list[int] = []
        # by array: number of pages by which a step along each storage axis advances
        self.steps: list[list[int]] = []
        for array in arrays:
            inner = [1 if i == array.growing else n for i, n in enumerate(array.index_shape)]
            self.firsts.append(self.pages_per_row)
            self.counts.append(math.prod(inner))
            self.steps.append([math.prod(inner[i + 1 :]) for i in range(len(inner))])
            self.pages_per_row += self.counts[-1]
        for array, steps in zip(arrays, self.steps, strict=True):
            if array.growing is not None:
                steps[array.growing] = self.pages_per_row

    def pages(self, array: int, shape: Sequence[int]) -> NDArray[np.int64]:
        """Return the page of each plane of an array that has `shape` (with y and x), by storage index."""
        pages = np.asarray(self.firsts[array], np.int64)
        for extent, step in zip(shape[:-2], self.steps[array], strict=True):
            pages = pages[..., None] + np.arange(extent, dtype=np.int64) * step
        return pages

    def pages_within(self, shapes: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """Return the sorted pages of arrays that have these shapes."""
        pages = [self.pages(array, shape).ravel() for array, shape in enumerate(shapes)]
        return np.sort(np.concatenate(pages))
