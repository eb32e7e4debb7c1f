"""Locks are acquired in the order of the lock table, with all engines and in a restart."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import Dimension, create_stream, dims_from_standard_axes, streaming
from ome_writers.storage import ENGINES
from support.lock_order import lock_table, recorded_lock_pairs
from support.sweeps import swept

if TYPE_CHECKING:
    from pathlib import Path

FRAME = np.ones((32, 32), "uint16")
ORDER = lock_table(streaming.__doc__ or "")
# `OMEStream._restart` holds the restart lock, so that no flush of the open stream is in progress.
EXCEPTIONS = {
    ("OMEStream._lock", "DatasetWriter._flush_lock"),
    ("OMEStream._metadata_lock", "DatasetWriter._flush_lock"),
}
CHUNKS: list[dict[str, int]] = [
    {},
    {"chunk_size": 2},
    {"shard_size_chunks": 2},
    {"chunk_size": 2, "shard_size_chunks": 2},
]


def assert_order(pairs: set[tuple[str, str]]) -> None:
    assert pairs
    reversed_pairs = {(a, b) for a, b in pairs if ORDER.index(a) > ORDER.index(b)}
    assert reversed_pairs <= EXCEPTIONS


def use_all_methods(stream: ow.OMEStream, *, random_access: bool) -> None:
    stream.on("coords_changed", lambda _: None)
    view = stream.view()
    for number in range(5):
        stream.append(FRAME, frame_metadata={"number": number})
        assert np.asarray(view[...]).any()
    if random_access:
        stream.append(FRAME, index={"t": 0, "c": 0})
    stream.set_global_metadata("test", {"key": 1})
    stream.flush()
    stream.read(0, (0, 0))
    with stream.frame_buffer() as frame:
        frame[:] = 2
    stream.stats()


# chunks of a plane with and without compression, the other kinds with one of both; all in sweeps
CASES = swept(
    itertools.product(ENGINES, ("none", "zstd"), CHUNKS),
    lambda case: not case[2] or (case[1] == "zstd") == CHUNKS.index(case[2]) % 2,
    lambda case: "-".join(map(str, case)),
)


@pytest.mark.parametrize("case", CASES)
def test_locks_are_acquired_in_table_order(
    tmp_path: Path, case: tuple[str, str, dict[str, int]]
) -> None:
    engine, compression, chunks = case
    row = ENGINES[engine]
    if reason := row.missing_requirement():
        pytest.skip(reason)
    if not row.sharding and chunks:
        pytest.skip(
            f"order of locks for chunks of several planes: {engine} stores each plane separately"
        )
    if engine == "scratch" and compression != "none":
        pytest.skip("order of locks of compressing threads: scratch does not compress")
    settings: dict[str, Any] = {
        "root_path": tmp_path / ("a.ome.tiff" if engine == "tifffile" else "a.ome.zarr"),
        "dimensions": [
            Dimension(name="t", count=6, **chunks),
            Dimension(name="c", count=2),
            Dimension(name="y", count=32, chunk_size=16 if row.sharding else None),
            Dimension(name="x", count=32, chunk_size=16 if row.sharding else None),
        ],
        "dtype": "uint16",
        "format": engine,
        "compression": compression,
        "flush_interval": 0.02,
        "buffer_bytes": 6 * FRAME.nbytes,
    }
    with recorded_lock_pairs() as pairs:
        with create_stream(**settings) as stream:
            use_all_methods(stream, random_access=row.random_access)
        if engine != "scratch":
            assert np.asarray(ow.open(stream.settings.output_path)[...]).any()
    assert_order(pairs)


@pytest.mark.thread_writer  # records the locks of this process
def test_restart_acquires_locks_in_table_order(tmp_path: Path) -> None:
    dimensions = dims_from_standard_axes({"t": 3, "y": 8, "x": 8})
    with (
        recorded_lock_pairs() as pairs,
        create_stream(
            root_path=tmp_path / "a.ome.zarr", dimensions=dimensions, dtype="uint8"
        ) as stream,
    ):
        stream.append(np.zeros((8, 8, 3), "uint8"))
        assert stream.settings.rgb
    assert_order(pairs)
    assert pairs >= EXCEPTIONS
