"""The scratch engine, through streams."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, create_stream, dims_from_standard_axes


def settings(sizes: dict[str, int | None], **more: object) -> AcquisitionSettings:
    """Return settings for 4 x 4 frames of uint16 in a scratch store."""
    dims = dims_from_standard_axes({**sizes, "y": 4, "x": 4})
    return AcquisitionSettings(
        **{"dimensions": dims, "dtype": "uint16", "format": "scratch", **more}
    )


def frame(value: int) -> np.ndarray:
    """Return a frame of one value."""
    return np.full((4, 4), value, "uint16")


def test_frames_stay_in_memory_for_views() -> None:
    """During the acquisition and afterwards."""
    with create_stream(settings({"t": None, "p": 2})) as stream:
        for i in range(5):
            stream.append(frame(i + 1))
        view = stream.view()
        assert view[2, 0, 0, 0] == 5
    assert np.asarray(view)[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 0]]


@pytest.mark.parametrize("suffix", ["", "x.ome.tiff"])
def test_ignored_chunk_settings_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    if suffix:
        pytest.importorskip("tifffile")
        pytest.importorskip("ome_types")
    dimensions = [
        Dimension(name="t", count=4, chunk_size=1, shard_size_chunks=2, type="time"),
        Dimension(name="y", count=4, chunk_size=2),
        Dimension(name="x", count=4, chunk_size=4),
    ]
    path, form = (tmp_path / suffix, "auto") if suffix else ("", "scratch")
    wanted = settings({}, dimensions=dimensions, root_path=path, format=form)
    with caplog.at_level("WARNING", "ome_writers"), create_stream(wanted) as stream:
        for i in range(4):
            stream.append(frame(i))
        assert np.asarray(stream.view())[:, 0, 0].tolist() == [0, 1, 2, 3]
    [record] = caplog.records
    assert "chunk_size of y and shard_size_chunks of t: no effect" in record.getMessage()


@pytest.mark.parametrize("name", ["scratch", "x.ome.tiff"])
def test_chunks_of_one_plane_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Clients set them for every format."""
    dimensions = [
        Dimension(name="t", count=1, chunk_size=1),
        Dimension(name="y", count=4, chunk_size=4),
        Dimension(name="x", count=4, chunk_size=100),
    ]
    form = "scratch" if name == "scratch" else "auto"
    wanted = settings({}, dimensions=dimensions, root_path=tmp_path / name, format=form)
    with caplog.at_level("WARNING", "ome_writers"), create_stream(wanted) as stream:
        stream.append(frame(1))
    assert not caplog.records


def test_frames_beyond_the_limit_spill_to_disk() -> None:
    limited = {"name": "scratch", "max_memory_bytes": 100}
    with create_stream(settings({"t": 6}, format=limited)) as stream:
        with pytest.warns(UserWarning, match="max_memory_bytes=100.*ome-writers-"):
            for i in range(6):
                stream.append(frame(i))
        view = stream.view()
    assert np.asarray(view)[:, 0, 0].tolist() == list(range(6))


def test_memory_limit_without_spilling_raises() -> None:
    """The frame beyond the limit is not stored."""
    limited = {"name": "scratch", "max_memory_bytes": 100, "spill_to_disk": False}
    with create_stream(settings({"t": 6}, format=limited)) as stream:
        for i in range(3):
            stream.append(frame(i))
        with pytest.raises(MemoryError, match="spill_to_disk is False"):
            stream.append(frame(3))
        assert stream.stats().frames_accepted == 3


def test_path_contains_manifest_and_raw_files(tmp_path: Path) -> None:
    """Numpy opens the file of each position with the shape in the manifest."""
    path = tmp_path / "store"
    with create_stream(settings({"t": None, "p": 2}, root_path=path)) as stream:
        stream.set_global_metadata("lab", {"who": "me"})
        for i in range(4):
            stream.append(frame(i), frame_metadata={"n": i})
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["position_shapes"] == [[2, 4, 4], [2, 4, 4]]
    assert (manifest["dtype"], manifest["global_metadata"]) == ("uint16", {"lab": {"who": "me"}})
    names = [each["name"] for each in manifest["dimensions"]]
    assert (names, manifest["root_path"]) == (["t", "p", "y", "x"], str(path))
    assert manifest["format"]["name"] == "scratch"
    assert manifest["version"] == version("ome-writers")
    assert manifest["settings"]["dimensions"] == manifest["dimensions"]
    shape = tuple(manifest["position_shapes"][1])
    data = np.memmap(path / "pos_1.dat", manifest["dtype"], "r", shape=shape)
    assert data[:, 0, 0].tolist() == [1, 3]
    lines = [json.loads(x) for x in (path / "frame_metadata.jsonl").read_text().splitlines()]
    assert lines[3] == {"_pos": 1, "_idx": [1], "n": 3}
    with pytest.raises(FileExistsError):
        create_stream(settings({"t": 2}, root_path=path))
    create_stream(settings({"t": 2}, root_path=path, overwrite=True)).close()


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("appended", [1, 3, 4, 7])
def test_partial_run_in_another_storage_order(tmp_path: Path, endless: bool, appended: int) -> None:
    """No frame is lost if the slowest axis is not stored first and the acquisition ends early."""
    path = tmp_path / "store"
    order = ["c", "t", "y", "x"]
    sizes = {"t": None if endless else 6, "c": 2}
    stream = create_stream(settings(sizes, root_path=path, storage_order=order))
    for i in range(appended):
        stream.append(frame(i + 1))
    stream.close()
    wanted = np.zeros((-(-appended // 2), 2), int)
    wanted.reshape(-1)[:appended] = np.arange(1, appended + 1)
    found = [[stream.read(0, (c, t))[0, 0] for c in range(2)] for t in range(len(wanted))]
    assert found == wanted.tolist()
    assert not stream.read(0, (0, len(wanted))).any()
    manifest = json.loads((path / "manifest.json").read_text())
    shape = tuple(manifest["position_shapes"][0])
    data = np.memmap(path / "pos_0.dat", manifest["dtype"], "r", shape=shape)
    assert data[..., 0, 0].tolist() == wanted.T.tolist()
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json", "pos_0.dat"]


def test_partial_run_with_slowest_camera_axis(tmp_path: Path) -> None:
    """No frame is lost if the acquisition ends after the first of two cameras."""
    cameras = Dimension(name="cam", count=2, type="other")
    dims = [cameras, *dims_from_standard_axes({"t": 3, "c": 2, "y": 4, "x": 4})]
    for root in (tmp_path / "store", ""):
        stream = create_stream(
            AcquisitionSettings(dimensions=dims, dtype="uint16", format="scratch", root_path=root)
        )
        for i in range(6):
            stream.append(frame(i + 1))
        stream.close()
        assert stream.view()[0, ..., 0, 0].tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.skipif(
    sys.platform != "linux", reason="number of open files: only Linux lists them in /proc/self/fd"
)
def test_many_positions_use_few_file_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with create_stream(settings({"t": 2, "p": 300}, root_path=tmp_path / "store")) as stream:
        for i in range(600):
            stream.append(frame(i))
        assert len(os.listdir("/proc/self/fd")) - before < 200
    # Windows cannot move a dataset with open files
    assert len(os.listdir("/proc/self/fd")) <= before
    assert all(stream.read(p, (1,))[0, 0] == 300 + p for p in range(300))
