"""Every resolution level is the reduction of the level above, in whatever order frames arrive."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ome_writers as omew
from ome_writers import Dimension, Pyramid, UnsupportedError
from ome_writers.storage import ENGINES

READY = [name for name, row in ENGINES.items() if row.missing_requirement() is None]
COUNTS = {"t": 3, "c": 2, "z": 5, "p": 2}


def reduced(level: np.ndarray[Any, Any], z_axis: int | None) -> np.ndarray[Any, Any]:
    """Return the means of 2 x 2 (x 2) samples; planes of zeros are not part of a pair."""
    edge = [(0, 0)] * (level.ndim - 2) + [(0, n % 2) for n in level.shape[-2:]]
    padded = np.pad(level.astype("f8"), edge, mode="edge")
    means = np.mean([padded[..., y::2, x::2] for y in (0, 1) for x in (0, 1)], axis=0)
    if z_axis is not None and level.shape[z_axis] > 1:
        planes = np.moveaxis(means, z_axis, 0)
        pairs = [planes[z : z + 2] for z in range(0, len(planes), 2)]
        counts = [pair.any(axis=(-2, -1), keepdims=True).sum(axis=0) for pair in pairs]
        sums = [pair.sum(axis=0) / np.maximum(n, 1) for pair, n in zip(pairs, counts, strict=True)]
        means = np.moveaxis(np.stack(sums), 0, z_axis)
    return means if level.dtype.kind == "f" else np.rint(means).astype(level.dtype)


def most_frequent(level: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the most frequent of 2 x 2 samples, of equally frequent ones the first."""
    edge = [(0, 0)] * (level.ndim - 2) + [(0, n % 2) for n in level.shape[-2:]]
    padded = np.pad(level, edge, mode="edge")
    samples = np.stack([padded[..., y::2, x::2] for y in (0, 1) for x in (0, 1)])
    counts = (samples[:, None] == samples[None]).sum(axis=1)
    return np.take_along_axis(samples, counts.argmax(axis=0)[None], axis=0)[0]


@settings(deadline=None, max_examples=max(5, settings.default.max_examples // 20))
@given(data=st.data())
@pytest.mark.parametrize("engine", READY)
def test_levels_equal_the_reduction_of_the_level_above(engine: str, data: st.DataObject) -> None:
    row = ENGINES[engine]
    order = data.draw(st.sampled_from(("z", "tz", "zc", "pzc", "ztc", "tc")))
    size = data.draw(st.sampled_from(((24, 17), (1, 40), (64, 64))))
    is_tiff = row.format == "ome-tiff"
    kinds = ("uint16", "float32", "labels", "rgb" if is_tiff else "bool")
    pixels = data.draw(st.sampled_from(kinds))
    method: Any = "mode" if pixels in ("labels", "bool") else "mean"
    axes = data.draw(st.sampled_from((("y", "x"), ("z", "y", "x"))))
    if is_tiff or method == "mode":
        axes = ("y", "x")
    unbounded = data.draw(st.booleans()) and row.format != "scratch"
    chunk = data.draw(st.sampled_from((None, 1, 2)))
    dimensions = [
        Dimension(
            name=axis,
            count=None if unbounded and i == 0 and axis != "p" else COUNTS[axis],
            chunk_size=chunk if axis in "tz" and row.sharding else None,
            shard_size_chunks=2 if chunk and i == 0 and axis in "tz" and row.sharding else None,
            **({"type": "position"} if axis == "p" else {}),
        )
        for i, axis in enumerate(order)
    ]
    frame = [Dimension(name=n, count=k) for n, k in zip("yx", size, strict=True)]
    in_order = list(itertools.product(*(range(COUNTS[axis]) for axis in order)))
    steps = data.draw(st.permutations(in_order)) if row.random_access else in_order
    steps = steps[: data.draw(st.integers(1, len(steps)))]
    again = data.draw(st.lists(st.sampled_from(steps), max_size=4)) if row.random_access else []
    skipped = data.draw(st.sets(st.sampled_from(steps), max_size=3))
    metadata = data.draw(st.sampled_from(("redundant", "master-tiff", "companion-file")))
    folder = Path(tempfile.mkdtemp())
    dtype = np.dtype("uint8" if pixels in ("rgb", "labels") else pixels)
    values = (0, 3) if method == "mode" else (1, 200)
    options: dict[str, Any] = {
        "root_path": folder
        / {"ome-zarr": "run.ome.zarr", "ome-tiff": "run.ome.tiff"}.get(row.format, "run"),
        "dimensions": [*dimensions, *frame],
        "dtype": dtype.name,
        "rgb": pixels == "rgb",
        "format": {"name": "ome-tiff", "multi_file_metadata": metadata} if is_tiff else engine,
        "compression": data.draw(st.sampled_from((None, "zstd")))
        if row.format != "scratch"
        else None,
        "pyramid": Pyramid(method=method, axes=axes, levels=min(3, (max(size) - 1).bit_length())),
        "flush_interval": data.draw(st.sampled_from((0.02, 60))),
        "buffer_bytes": data.draw(st.sampled_from((1, 2**28))),
    }
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    try:
        stream = omew.create_stream(**options)
    except UnsupportedError:
        shutil.rmtree(folder)
        return
    with stream:
        for step in [*steps, *again]:
            if step in skipped and row.random_access:
                continue
            if step in skipped:
                stream.skip()
                continue
            index = dict(zip(order, step, strict=True)) if row.random_access else None
            shape = (*size, 3) if pixels == "rgb" else size
            frame_data = rng.integers(*values, shape)
            stream.append(frame_data.astype(dtype), index=index)
    z_axis = order.find("z") if "z" in axes and "z" in order else None
    count = len(stream.plan.images[0].reductions)
    opened = row.format != "scratch"
    levels = [
        np.asarray(omew.open(options["root_path"], level=k) if opened else stream.view(level=k))
        for k in range(count + 1)
    ]
    if pixels == "rgb":
        levels = [np.moveaxis(level, -1, 0) for level in levels]
    for parent, level in itertools.pairwise(levels):
        expected = most_frequent(parent) if method == "mode" else reduced(parent, z_axis)
        np.testing.assert_allclose(level, expected, rtol=1e-6)
    if is_tiff:
        assert not [
            f for check in omew.validate(options["root_path"]).checks for f in check.findings
        ]
    shutil.rmtree(folder)


@pytest.mark.parametrize("engine", READY)
def test_levels_of_large_frames(engine: str, tmp_path: Path) -> None:
    """Frames that are written and reduced by different threads; their memory is reused after `append`."""
    path = tmp_path / ("run.ome.tiff" if ENGINES[engine].format == "ome-tiff" else "run.ome.zarr")
    sizes = {"t": 5, "y": 800, "x": 1000}
    dimensions = [Dimension(name=name, count=count) for name, count in sizes.items()]
    rng = np.random.default_rng(1)
    frames = rng.integers(1, 2**12, tuple(sizes.values())).astype("uint16")
    reused = np.empty_like(frames[0])
    stream = omew.create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", format=engine, pyramid="mean"
    )
    with stream:
        for frame in frames:
            reused[...] = frame
            stream.append(reused)
            reused[...] = 0
    levels = [np.asarray(stream.view(level=k)) for k in range(3)]
    np.testing.assert_array_equal(levels[0], frames)
    for parent, level in itertools.pairwise(levels):
        np.testing.assert_array_equal(level, reduced(parent, None))
