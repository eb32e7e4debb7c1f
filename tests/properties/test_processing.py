"""No two tasks of `process` write to the same shard, and together they write all of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ome_writers import AcquisitionSettings, Dimension
from ome_writers.processing import regions
from ome_writers.routing import resolve

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
    settings = AcquisitionSettings(
        root_path="a.ome.zarr", dimensions=[*dimensions, *frame], dtype="uint8"
    )
    array = resolve(settings).images[0].array
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
