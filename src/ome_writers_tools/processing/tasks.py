"""The tasks of a processing run: regions of whole shards, computed and written without shared state."""

from __future__ import annotations

import itertools
import math
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers import LevelSpec, SettingsError, StreamView
from ome_writers.toolkit import Options, open_engine, rename, sync_folder
from ome_writers_tools.processing.functions import PlaneFunction

Array = NDArray[np.generic]
Region = tuple[range, ...]
"""Indices of shards (without sharding, of chunks) along each storage axis before y and x."""


def regions(level: LevelSpec, whole: Collection[str]) -> Iterator[Region]:
    """Yield the regions of the tasks of an array: one shard each, but all shards along the axes `whole`.

    A region has the shards of all tiles of its planes. Each shard belongs to exactly one region.
    """
    choices = []
    extents = zip(level.dimensions, level.index_shape, level.shards or level.chunks, strict=False)
    for dimension, extent, shard in extents:
        shards = range(math.ceil(extent / shard))
        alone = [shards[i : i + 1] for i in shards]
        choices.append([shards] if dimension.name in whole else alone)
    return itertools.product(*choices)


@dataclass(frozen=True)
class Task:
    """Computes and writes one region of one array; can be pickled, and repeated at any time, also concurrently."""

    source: StreamView
    function: Callable[..., Any]
    output: Path  # the dataset in the folder of the run; shards are first written beside it
    target: LevelSpec  # the array below `output`
    image: int  # number of the image, which is also the index along `p`
    region: Region
    # axes of the blocks that the function takes, and of its result, without y and x
    block: tuple[str, ...]
    kept: tuple[str, ...]
    # executors that cache results by arguments, such as dask.distributed, must not return that of an earlier run
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def is_done(self) -> bool:
        """Return whether all shards of the region are in the output: they are renamed when they are complete."""
        array = self.output / self.target.key
        return all((array / shard).exists() for shard in self._shards())

    def run(self) -> None:
        array = self.output / self.target.key
        if not (array / "zarr.json").exists():
            raise FileNotFoundError(
                f"{array} does not exist: the processing run has ended, or is not on a disk that this worker shares."
            )
        if self.is_done():
            return  # by another attempt: executors repeat the tasks of workers that they have lost
        temporary = self.output.with_name(f"task-{uuid.uuid4().hex[:12]}")
        try:
            self._write(temporary)
            for shard in self._shards():
                (array / shard).parent.mkdir(parents=True, exist_ok=True)
                try:
                    rename(temporary / self.target.key / shard, array / shard)
                except OSError:
                    if not (array / shard).exists():
                        raise
                sync_folder((array / shard).parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _shards(self) -> Iterator[str]:
        """Yield the path below the array of each index of the region: the folder of the shards of all its tiles."""
        return ("/".join(("c", *map(str, index))) for index in itertools.product(*self.region))

    def _write(self, folder: Path) -> None:
        plan = self.target
        shard_bytes = math.prod((plan.shards or plan.chunks)[:-2]) * plan.frame_bytes
        options = Options(buffer_bytes=max(2**20, shard_bytes), durable=True)
        engine = open_engine(folder, [self.target], options)
        try:
            for number, (index, plane) in enumerate(self._planes()):
                engine.write(number, 0, index, plane, owned=True)
        finally:
            engine.close([plan.shape])
        if engine.failures:
            raise engine.failures[0].error

    def _planes(self) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Yield storage index and pixels of each plane of the region."""
        plan = self.target
        names = plan.dims[:-2]
        indices = {
            name: range(shards.start * size, min(shards.stop * size, extent))
            for name, shards, size, extent in zip(
                names, self.region, plan.shards or plan.chunks, plan.shape, strict=False
            )
            if name not in self.kept
        }
        for values in itertools.product(*indices.values()):
            where = {"p": self.image, **dict(zip(indices, values, strict=True))}
            result = evaluate(self.source, self.function, self.block, where)
            shape = (*(plan.shape[names.index(name)] for name in self.kept), *plan.frame_shape)
            if (result.shape, result.dtype) != (shape, plan.numpy_dtype):
                raise SettingsError(
                    f"{self.function!r} returned {result.shape} {result.dtype} for the block at {where}; the output "
                    f"has {shape} {plan.dtype}. Return the same shape and dtype for all blocks."
                )
            for inner in np.ndindex(result.shape[:-2]):
                index = {**where, **dict(zip(self.kept, inner, strict=True))}
                yield tuple(index[name] for name in names), np.ascontiguousarray(result[inner])


def evaluate(
    source: StreamView,
    function: Callable[..., Any],
    block: Sequence[str],
    where: Mapping[str, int],
) -> Array:
    """Return what `function` returns for the block with the axes `block` at the index `where` of the other axes."""

    def read(index: Mapping[str, int]) -> Array:
        return source[tuple(index.get(name, slice(None)) for name in source.dims)]

    if not isinstance(function, PlaneFunction):
        return np.asarray(function(read(where)))
    dimensions = dict(zip(source.dims, source.dimensions, strict=False))
    where = {
        name: i if name == "p" else i + function.selection(dimensions[name])[0]
        for name, i in where.items()
        if name in dimensions
    }
    if not block:
        return function([read(where)])
    (axis,) = block
    extent = source.shape[source.dims.index(axis)]
    return function(read({**where, axis: i}) for i in range(extent))
