"""Planes of a resolution level on disk: those that its parent implies and it lacks, or has otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec, LevelSpec
from ome_writers.downsampling import downsample
from ome_writers.formats.omezarr.array_survey import ArraySurvey
from ome_writers.settings import PyramidMethod
from ome_writers.storage import Options
from ome_writers.storage.direct import open_engine
from ome_writers.storage.zarr import ChunkReader

Plane = NDArray[np.generic]
Index = tuple[int, ...]

_BATCH_PLANES = 64  # in memory at the same time


class StoredLevel:
    """A level of an OME-Zarr that is not being written; `shape` is that on disk at full resolution."""

    def __init__(self, root: Path, image: ImageSpec, level: int, shape: Sequence[int]) -> None:
        factors = [(1,) * len(shape), *(each.factors for each in image.reductions)]
        chosen = image.reductions[level - 1]
        self._root = root
        self._array = replace(image.levels[level], shape=chosen.shape(shape), growing=None)
        self._parent = _Planes(root, image.levels[level - 1])
        self._parent_shape = tuple(
            -(-n // f) for n, f in zip(shape, factors[level - 1], strict=True)
        )
        self._own = _Planes(root, image.levels[level])
        self._step = [b // a for a, b in zip(factors[level - 1], chosen.factors, strict=True)]
        self._method: PyramidMethod = chosen.pyramid.method

    def differences(self, *, missing_only: bool) -> Iterator[tuple[Index, Plane]]:
        """Yield index and reduced pixels of each plane that is not what its parent implies.

        With `missing_only`, planes are not compared if they and their parent are complete chunks of one plane. Pairs
        along z are always compared: the second plane may not have been included.
        """
        compare_all = not missing_only or any(f > 1 for f in self._step[:-2])
        present: set[Index] = set() if compare_all else self._own.cells() & self._parent.cells()
        for index in np.ndindex(*self._array.index_shape):
            if index in present:
                continue
            expected, stored = self._reduced(index), self._own.read(index)
            if not np.array_equal(expected, stored, equal_nan=expected.dtype.kind in "fc"):
                yield index, expected

    def write(self, planes: Iterable[tuple[Index, Plane]]) -> int:
        """Write planes, and return their number."""
        planes, count = iter(planes), 0
        while batch := list(itertools.islice(planes, _BATCH_PLANES)):
            engine = open_engine(self._root, [self._array], Options(durable=True))
            try:
                for number, (index, plane) in enumerate(batch):
                    engine.write(number, 0, index, plane, owned=True)
            finally:
                engine.close([self._array.shape])
            if engine.failures:
                raise engine.failures[0].error
            count += len(batch)
        return count

    def _reduced(self, index: Index) -> Plane:
        pairs = [range(f * i, f * i + f) for i, f in zip(index, self._step, strict=False)]
        inside = (
            each
            for each in np.ndindex(*map(len, pairs))
            if all(p[k] < n for p, k, n in zip(pairs, each, self._parent_shape, strict=False))
        )
        planes = [
            self._parent.read(tuple(p[k] for p, k in zip(pairs, each, strict=True)))
            for each in inside
        ]
        return downsample(planes, self._method, (self._step[-2], self._step[-1]))


class _Planes:
    """Reads planes of an array in files of this library."""

    def __init__(self, root: Path, level: LevelSpec) -> None:
        self._folder, self._level = root / level.key, level
        self._chunks = ChunkReader(self._folder, level)

    def cells(self) -> set[Index]:
        """Return the indices of the complete chunks; empty if chunks contain several planes."""
        if any(chunk > 1 for chunk in self._level.chunks[:-2]):
            return set()
        return ArraySurvey(self._folder, self._level).complete_cells()

    def read(self, index: Index) -> Plane:
        return self._chunks.plane(index)
