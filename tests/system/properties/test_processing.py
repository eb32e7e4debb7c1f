"""No two tasks of `process` write to the same shard, and together they write all of them."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import ome_writers
from ome_writers import AcquisitionSettings, Dimension
from ome_writers.routing import resolve
from ome_writers_tools.processing import process
from ome_writers_tools.processing.tasks import Task, regions
from support.sweeps import SWEEPS

SHAPES = st.tuples(*[st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))] * 3)


@given(shapes=SHAPES, sharded=st.booleans(), whole=st.sets(st.sampled_from("tcz")))
def test_each_plane_and_shard_belongs_to_one_task(
    shapes: tuple[tuple[int, int, int], ...], sharded: bool, whole: set[str]
) -> None:
    """For random extents, chunk shapes, shard shapes, and axes of the blocks that the output keeps."""
    dimensions = [
        Dimension(name=name, count=count, type={"t": "time", "z": "space"}.get(name, "channel"))
        for name, (count, _, _) in zip("tcz", shapes, strict=True)
    ]
    frame = [Dimension(name="y", count=4), Dimension(name="x", count=4)]
    acquisition = AcquisitionSettings(
        root_path="a.ome.zarr", dimensions=[*dimensions, *frame], dtype="uint8"
    )
    array = resolve(acquisition).images[0].array
    chunks = (*(chunk for _, chunk, _ in shapes), 2, 4)
    shards = tuple(c * n for c, (_, _, n) in zip(chunks, shapes, strict=False))
    plan = replace(array, chunks=chunks, shards=(*shards, 4, 4) if sharded else None)
    unit = shards if sharded else chunks[:3]
    written = np.zeros([math.ceil(n / u) for n, u in zip(plan.index_shape, unit, strict=True)], int)
    for region in regions(plan, whole):
        for shard in itertools.product(*region):
            written[shard] += 1
        for axis, name in enumerate("tcz"):
            assert len(region[axis]) == (written.shape[axis] if name in whole else 1)
    assert (written == 1).all()


class Collector:
    """An executor that runs tasks immediately, and keeps them."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, function: Any, /, *args: Any) -> Any:
        self.tasks += args
        function(*args)
        return self

    def result(self) -> None:
        """Return when the task has ended, which it has."""


@settings(max_examples=20 if SWEEPS else 10)
@given(
    shapes=st.tuples(*[st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))] * 3),
    positions=st.integers(1, 2),
    over=st.sets(st.sampled_from("tcz")),
    reduced=st.integers(0, 3),
)
def test_shards_of_tasks_are_disjoint_and_results_equal_numpy(
    shapes: tuple[tuple[int, int, int], ...], positions: int, over: set[str], reduced: int
) -> None:
    """For random extents, chunk and shard shapes, blocks, and numbers of axes of a block that the function removes."""
    axes = [
        Dimension(name=name, count=n, chunk_size=min(chunk, n), shard_size_chunks=shard)
        for name, (n, chunk, shard) in zip("tcz", shapes, strict=True)
    ]
    p = Dimension(name="p", type="position", coords=[f"P{i}" for i in range(positions)])
    frame = [Dimension(name="y", count=4, chunk_size=2), Dimension(name="x", count=6)]
    shape = (*(n for n, _, _ in shapes), 4, 6)
    pixels = np.random.default_rng(0).integers(0, 256, (positions, *shape), "uint8")
    block = [n for n in "tcz" if n not in over]
    removed = tuple(range(min(reduced, len(block))))
    executor = Collector()
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "run.ome.zarr"), Path(folder, "out.ome.zarr")
        with ome_writers.create_stream(
            root_path=source, dimensions=[p, *axes, *frame], dtype="uint8"
        ) as stream:
            for plane in pixels.reshape(-1, 4, 6):
                stream.append(plane)
        process(
            source,
            lambda planes: planes.max(axis=removed) if removed else planes,
            output,
            over=["p", *over],
            executor=executor,
        )
        lost = tuple(1 + "tcz".index(block[axis]) for axis in removed)
        expected = pixels.max(axis=lost) if lost else pixels
        np.testing.assert_array_equal(ome_writers.open(output), expected)
        written = Counter(
            (task.target.key, index)
            for task in executor.tasks
            for index in itertools.product(*task.region)
        )
        on_disk = {
            (array.parent.relative_to(output).as_posix(), index)
            for array in output.rglob("c")
            for index in _shards(array, len(expected.shape) - 3)
        }
        assert written == Counter(on_disk)


def _shards(folder: Path, depth: int) -> set[tuple[int, ...]]:
    """Return the indices of the folders of shards, `depth` levels below the folder ``c``."""
    found = folder.glob("/".join("*" * depth)) if depth else [folder]
    return {tuple(map(int, path.relative_to(folder).parts)) for path in found}
