"""Schedules that contain an index several times: the last frame is kept, independent of thread timing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Schedule, create_stream, dims_from_standard_axes
from support.sweeps import SWEEPS

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 60 if SWEEPS else 30


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
@pytest.mark.parametrize("shards", [None, 3])
def test_last_frame_of_revisited_address_is_kept(
    suffix: str, shards: int | None, tmp_path: Path
) -> None:
    sizes: Any = {"t": 3, "y": 64, "x": 64}
    settings = AcquisitionSettings(
        root_path=tmp_path / f"x.ome.{suffix}",
        dimensions=dims_from_standard_axes(
            sizes, shard_shapes={"t": shards} if shards and suffix == "zarr" else None
        ),
        dtype="uint16",
        schedule=Schedule(axes=("t",), indices=np.arange(3 * ROUNDS)[:, None] % 3),
        flush_interval=0.02,
    )
    with create_stream(settings) as stream:
        for number in range(3 * ROUNDS):
            stream.append(np.full((64, 64), number, "uint16"))
        view = stream.view()
        assert np.asarray(view)[:, 0, 0].tolist() == [3 * ROUNDS - 3 + t for t in range(3)]
    stored = np.asarray(ome_writers.open(tmp_path / f"x.ome.{suffix}"))
    assert (stored == stored[:, :1, :1]).all()
    assert stored[:, 0, 0].tolist() == [3 * ROUNDS - 3 + t for t in range(3)]


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_frame_in_order_replaces_frame_with_index(
    suffix: str, compression: str, tmp_path: Path
) -> None:
    """The earlier frame is readable until then."""
    settings = AcquisitionSettings(
        root_path=tmp_path / f"x.ome.{suffix}",
        dimensions=dims_from_standard_axes({"t": 4, "y": 8, "x": 8}),
        dtype="uint16",
        compression=compression,
    )
    with create_stream(settings) as stream:
        for number, index in enumerate([None, {"t": 2}, {"t": 2}, None, None]):
            stream.append(np.full((8, 8), number + 1, "uint16"), index=index)
        view = np.asarray(stream.view())[:, 0, 0].tolist()
    assert view == [1, 4, 5]
    stored = np.asarray(ome_writers.open(tmp_path / f"x.ome.{suffix}"))
    assert stored[:, 0, 0].tolist() == [1, 4, 5]


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_metadata_of_a_replaced_frame_is_removed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.ome.{suffix}"
    dimensions = dims_from_standard_axes({"t": 2, "y": 8, "x": 8})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint8") as stream:
        for t in range(2):
            stream.append(np.ones((8, 8), "uint8"), frame_metadata={"delta_t": t, "try": 1})
        stream.append(np.ones((8, 8), "uint8"), index={"t": 1})
    first, second = ome_writers.read_frame_metadata(path)
    assert (first["delta_t"], first["try"]) == (0, 1)
    assert second.keys() == {"storage_index", "index"}


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_frames_beside_a_replaced_one_are_kept_when_memory_is_short(
    suffix: str, tmp_path: Path
) -> None:
    """A chunk of two frames leaves and enters memory between replacements, because there is none for both positions."""
    settings = AcquisitionSettings(
        root_path=tmp_path / f"x.ome.{suffix}",
        dimensions=dims_from_standard_axes(
            {"t": 2, "p": 2, "y": 8, "x": 8}, chunk_shapes={"t": 2} if suffix == "zarr" else None
        ),
        dtype="uint16",
        buffer_bytes=1,
        flush_interval=1000,
    )
    with create_stream(settings) as stream:
        for number in range(1, 5):
            stream.append(np.full((8, 8), number, "uint16"))
        for number in (10, 20, 30):
            for position in (0, 1):
                frame = np.full((8, 8), number + position, "uint16")
                stream.append(frame, index={"t": 0, "p": position})
        view = stream.view()
    assert np.asarray(view)[:, :, 0, 0].tolist() == [[30, 31], [3, 4]]


SCHEDULED = Schedule(("t", "c"), [[0, 1], [2, 0], [1, 1], [1, 0]])
TWICE = Schedule(("t", "c"), [[0, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
@pytest.mark.parametrize(
    ("schedule", "steps", "stored", "expected"),
    [
        (None, [None, {"t": 0, "c": 0}, {"t": 2, "c": 1}, {"t": 2, "c": 1}], 2, 6),
        (None, [{"t": 0, "c": 1}, None, None, None], 3, 6),
        (None, [None, 2, {"t": 0, "c": 1}, {"t": 0, "c": 0}, None], 3, 6),
        (SCHEDULED, [None, None, {"t": 0, "c": 1}, {"t": 2, "c": 0}, {"t": 1, "c": 1}], 3, 4),
        (SCHEDULED, [1, None, {"t": 0, "c": 1}, {"t": 0, "c": 0}, {"t": 2, "c": 0}], 3, 4),
        (TWICE, [None, None, None], 2, 2),
        (TWICE, [None, {"t": 0, "c": 1}, {"t": 0, "c": 0}, None], 2, 2),
    ],
)
def test_replaced_frames_are_counted_once(
    suffix: str,
    schedule: Schedule | None,
    steps: list[Any],
    stored: int,
    expected: int,
    tmp_path: Path,
) -> None:
    """Steps are frames in order (None), frames with an index, and numbers of skipped frames."""
    path = tmp_path / f"x.ome.{suffix}"
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=dims_from_standard_axes({"t": 3, "c": 2, "y": 8, "x": 8}),
        dtype="uint16",
        schedule=schedule,
    )
    with create_stream(settings) as stream:
        for step in steps:
            if isinstance(step, int):
                stream.skip(frames=step)
            else:
                stream.append(np.ones((8, 8), "uint16"), index=step)
        stream.flush()
        spec = ome_writers.read(path)
        assert (spec.frames_written, spec.frames_expected) == (stored, expected)
        assert f"{stored} of {expected} frames" in repr(stream)
    spec = ome_writers.read(path)
    assert (spec.frames_written, spec.frames_expected) == (stored, expected)
