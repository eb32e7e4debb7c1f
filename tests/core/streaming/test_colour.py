"""Inference of RGB from the first frame."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    WriteError,
    create_stream,
    dims_from_standard_axes,
)
from support.waiting import WAIT_S

tensorstore = pytest.importorskip("tensorstore", reason="the independent reader")
tifffile = pytest.importorskip("tifffile", reason="the independent reader")

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3), dtype="uint8")
SUFFIXES = pytest.mark.parametrize("suffix", ["zarr", "tiff"])


def settings(path: Path, suffix: str = "zarr", **more: Any) -> AcquisitionSettings:
    """Return settings for four small frames, with rgb=None."""
    sizes: Any = {"t": 4, "y": 8, "x": 6}
    options = {"dimensions": dims_from_standard_axes(sizes), "dtype": "uint8", **more}
    return AcquisitionSettings(root_path=path / f"x.ome.{suffix}", **options)


def stored(path: Path, suffix: str) -> np.ndarray:
    """Return the frames as (t, y, x, 3)."""
    if suffix == "tiff":
        return np.asarray(tifffile.imread(path / "x.ome.tiff"))
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path / "x.ome.zarr" / "0")},
    }
    pixels = tensorstore.open(spec, open=True, read=True).result().read().result()
    return np.moveaxis(np.asarray(pixels), 1, -1)


@SUFFIXES
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_rgb_is_inferred_from_first_frame(tmp_path: Path, suffix: str, dtype: str) -> None:
    frames = COLOURS.astype(dtype) * (257 if dtype == "uint16" else 1)
    with create_stream(settings(tmp_path, suffix, dtype=dtype)) as stream:
        view = stream.view()
        for colours in frames:
            stream.append(colours)
        assert stream.settings.rgb is True
        assert view.dims == ("t", "y", "x", "s")
        np.testing.assert_array_equal(view, frames)
    np.testing.assert_array_equal(stored(tmp_path, suffix), frames)


def test_planar_rgb_memory_may_be_reused(tmp_path: Path) -> None:
    """Each sample of such a frame is contiguous in the caller's memory."""
    memory = np.empty((3, 8, 6), "uint8")
    with create_stream(settings(tmp_path, rgb=True)) as stream:
        for colours in COLOURS:
            memory[...] = np.moveaxis(colours, -1, 0)
            stream.append(np.moveaxis(memory, 0, -1))
    np.testing.assert_array_equal(stored(tmp_path, "zarr"), COLOURS)


@SUFFIXES
def test_skipped_frames_are_replayed_in_restart(tmp_path: Path, suffix: str) -> None:
    with create_stream(settings(tmp_path, suffix)) as stream:
        stream.skip(frames=2)
        stream.append(COLOURS[2])
        stream.append(COLOURS[3])
    found = stored(tmp_path, suffix)
    assert not found[:2].any()
    np.testing.assert_array_equal(found[2:], COLOURS[2:])


@SUFFIXES
def test_restart_keeps_user_metadata(tmp_path: Path, suffix: str) -> None:
    """Global metadata, and for OME-Zarr also updated attributes."""
    with create_stream(settings(tmp_path, suffix)) as stream:
        stream.set_global_metadata("lab", {"who": "me"})
        if suffix == "zarr":
            groups = stream.get_metadata()
            groups["."]["engine"] = {"summary": 1}
            stream.update_metadata(groups)
        for colours in COLOURS:
            stream.append(colours)
    if suffix == "tiff":
        assert "lab" in (tifffile.tiffcomment(tmp_path / "x.ome.tiff") or "")
        return
    attributes = json.loads((tmp_path / "x.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert (attributes["lab"], attributes["engine"]) == ({"who": "me"}, {"summary": 1})
    assert [c["label"] for c in attributes["ome"]["omero"]["channels"]] == ["Red", "Green", "Blue"]
    assert attributes["ome_writers"]["status"] == "complete"


@pytest.mark.parametrize("asked", [{"rgb": False}, {"dtype": "float32"}])
def test_unexpected_rgb_frame_raises(tmp_path: Path, asked: dict[str, Any]) -> None:
    """With rgb=False, and for dtypes other than uint8 and uint16; the stream continues."""
    with create_stream(settings(tmp_path, **asked)) as stream:
        with pytest.raises(ValueError, match=r"shape \(8, 6\), got \(8, 6, 3\)"):
            stream.append(COLOURS[0].astype(stream.settings.dtype))
        stream.append(COLOURS[0, ..., 0].astype(stream.settings.dtype))
        assert stream.stats().frames_accepted == 1


def test_rgb_frame_after_grayscale_frame_raises(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path)) as stream:
        stream.append(COLOURS[0, ..., 0])
        with pytest.raises(ValueError, match=r"shape \(8, 6\), got \(8, 6, 3\)"):
            stream.append(COLOURS[1])
        np.testing.assert_array_equal(stream.view()[0], COLOURS[0, ..., 0])


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_no_restart_after_ome_xml_was_updated(tmp_path: Path) -> None:
    """A restart would lose the user's OME-XML; the RGB frame is refused instead."""
    pytest.importorskip("ome_types")
    with create_stream(settings(tmp_path, "tiff")) as stream:
        stream.update_metadata(stream.get_metadata())
        with pytest.raises(ValueError, match=r"shape \(8, 6\), got \(8, 6, 3\)"):
            stream.append(COLOURS[0])


def test_restart_keeps_metadata_of_concurrent_thread(tmp_path: Path) -> None:
    going = threading.Event()
    namespaces: list[str] = []

    def set_metadata() -> None:
        while not going.is_set() or len(namespaces) < 20:
            name = f"fact{len(namespaces)}"
            stream.set_global_metadata(name, {"n": len(namespaces)})
            namespaces.append(name)
            groups = stream.get_metadata()
            groups["."][f"of{name}"] = {"n": 1}
            stream.update_metadata(groups)

    with create_stream(settings(tmp_path)) as stream:
        thread = threading.Thread(target=set_metadata)
        thread.start()
        while not namespaces:
            going.wait(0.001)
        for colours in COLOURS:
            stream.append(colours)
        going.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    attributes = json.loads((tmp_path / "x.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert {f"of{name}" for name in namespaces} <= set(attributes)
    assert [attributes[name] for name in namespaces] == [{"n": n} for n in range(len(namespaces))]
    np.testing.assert_array_equal(stored(tmp_path, "zarr"), COLOURS)


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="output removed during a run: Windows does not remove open files",
)
@SUFFIXES
@pytest.mark.parametrize("appended", [0, 1])
def test_failed_restart_lists_lost_frames(tmp_path: Path, suffix: str, appended: int) -> None:
    """Every call raises an error with the lost frames, and nothing is left on disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = settings(folder, suffix)
    if appended:  # the restart is for the second camera, which has RGB frames
        cameras = Dimension(name="cam", count=2, type="other")
        asked.dimensions = (asked.dimensions[0], cameras, *asked.dimensions[1:])
    stream = create_stream(asked)
    if appended:
        stream.append(COLOURS[0, ..., 0], frame_metadata={"n": 0})
    while folder.exists():  # the writer may add a file meanwhile
        shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("no folder any more")
    with pytest.raises(WriteError, match=r"x\.ome\.") as caught:
        stream.append(COLOURS[0])
    assert list(caught.value.frames) == list(range(appended))
    with pytest.raises(WriteError):
        stream.append(COLOURS[0])
    with pytest.raises(WriteError):
        stream.flush()
    with pytest.raises(WriteError):
        stream.close()
    assert stream.closed
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]
    assert folder.read_text() == "no folder any more"


def test_refused_restart_leaves_stream_unchanged(tmp_path: Path) -> None:
    """If the backend does not support RGB, grayscale frames can still be appended."""
    pytest.importorskip("acquire_zarr")
    sizes: Any = {"c": 2, "t": 2, "y": 8, "x": 6}
    asked = settings(tmp_path, dimensions=dims_from_standard_axes(sizes), format="acquire-zarr")
    asked.storage_order = "acquisition"
    with create_stream(asked) as stream:
        with pytest.raises(NotImplementedError, match="acquire-zarr"):
            stream.append(COLOURS[0])
        for colours in COLOURS:
            stream.append(colours[..., 0])
