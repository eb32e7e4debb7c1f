"""Conversion of NDTiff, written by ndstorage."""

from __future__ import annotations

import json
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import UnsupportedError, convert, read_frame_metadata
from ome_writers_tools.cli import main
from support.links import create_link

pytestmark = pytest.mark.skipif(
    find_spec("ndstorage") is None, reason="conversion of NDTiff: ndstorage writes the files"
)

PIXELS = np.random.default_rng(9).integers(
    0, 2**16, (2, 3, 2, 4, 16, 20), "uint16"
)  # p, t, c, z, y, x
CHANNELS = ["FITC", "DAPI"]
SUMMARY = {
    "PixelSize_um": 0.5,
    "z-step_um": 2.0,
    "DateAndTime": "2023/07/26 14:27:29",
    "Interval_ms": 100,
    "User": "Ann",
}


def metadata_of(p: int, t: int, c: int, z: int) -> dict[str, Any]:
    return {
        "PositionName": f"Pos{p}",
        "Channel": CHANNELS[c],
        "PixelSizeUm": 0.5,
        "XPosition_um_Intended": 10.0 * p,
        "YPosition_um_Intended": 0.0,
        "ElapsedTime-ms": 100 * t,
        "Exposure": 10,
        "Camera-Gain": "4",
    }


def write_ndtiff(path: Path, pixels: Any = PIXELS, *, skip: int = 0, first_z: int = 0) -> Path:
    import ndstorage

    dataset = ndstorage.NDTiffDataset(
        str(path.parent), name=path.name, summary_metadata=SUMMARY, writable=True
    )
    indices = list(np.ndindex(pixels.shape[:4]))
    for p, t, c, z in indices[: len(indices) - skip]:
        coordinates = {"position": p, "time": t, "channel": CHANNELS[c], "z": z + first_z}
        dataset.put_image(coordinates, pixels[p, t, c, z], metadata_of(p, t, c, z))
    finish(dataset)
    return Path(dataset.path)


def finish(dataset: Any) -> None:
    """Finish and close a dataset, and the file that ndstorage leaves open for reading."""
    writer = dataset.current_writer
    dataset.finish()
    writer.reader.close()
    dataset.close()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("destination", ["new.ome.zarr", "new.ome.tiff"])
def test_pixels_and_metadata(
    tmp_path: Path, destination: str, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = (PIXELS % 256).astype(dtype)
    path = write_ndtiff(tmp_path / "old", pixels)
    capsys.readouterr()
    done = convert(path, tmp_path / destination, verify=True)
    assert capsys.readouterr().out == ""  # ndstorage prints its progress
    assert (done.frames, done.empty) == (48, 0)
    view = omew.open(done.destination)
    order = [view.dims.index(name) for name in "ptczyx"]
    assert np.array_equal(np.asarray(view).transpose(order), pixels)
    spec = omew.read(done.destination)
    image = spec.images[1]
    scales = dict(zip(image.dims, image.levels[0].scale, strict=True))
    assert scales == {"t": 0.1, "c": None, "z": 2, "y": 0.5, "x": 0.5}
    assert [channel.name for channel in image.channels] == CHANNELS
    assert image.position is not None
    assert (image.position.name, image.position.x_coord) == ("Pos1", 10)
    assert spec.metadata["micromanager"] == SUMMARY
    assert (spec.started or "").startswith("2023-07-26T14:27:29")
    frames = read_frame_metadata(done.destination)
    assert len(frames) == 48
    assert {(f["micromanager"]["Channel"], f["delta_t"]) for f in frames} == {
        (channel, t) for channel in CHANNELS for t in (0, 0.1, 0.2)
    }


def test_info_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_ndtiff(tmp_path / "old", PIXELS[:1, :1])
    capsys.readouterr()
    assert main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "NDTiff 3.3"


def test_missing_images_stay_empty(tmp_path: Path) -> None:
    path = write_ndtiff(tmp_path / "old", skip=5, first_z=-2)
    spec = omew.read(path)
    assert (spec.status, spec.frames_written, spec.frames_expected) == ("cancelled", 43, 48)
    done = convert(path, tmp_path / "new.ome.zarr", verify=True)
    assert (done.frames, done.empty) == (43, 5)
    found = np.asarray(omew.open(done.destination))
    assert np.array_equal(found.reshape(-1, 16, 20)[:43], PIXELS.reshape(-1, 16, 20)[:43])
    assert not found.reshape(-1, 16, 20)[43:].any()


def test_axis_of_another_name(tmp_path: Path) -> None:
    import ndstorage

    dataset = ndstorage.NDTiffDataset(str(tmp_path), name="old", summary_metadata={}, writable=True)
    for t, angle in np.ndindex(2, 3):
        dataset.put_image({"time": t, "angle": angle}, PIXELS[0, t, 0, angle], {})
    finish(dataset)
    view = omew.open(Path(dataset.path))
    assert view.dims == ("t", "angle", "y", "x")
    assert np.array_equal(np.asarray(view), PIXELS[0, :2, 0, :3])
    done = convert(Path(dataset.path), tmp_path / "new.ome.zarr", verify=True)
    assert np.array_equal(np.asarray(omew.open(done.destination)), PIXELS[0, :2, 0, :3])


@pytest.mark.parametrize("damage", ["size", "offset", "truncated", "link"])
def test_damaged_index_is_refused(tmp_path: Path, damage: str) -> None:
    path = write_ndtiff(tmp_path / "old", PIXELS[:1])
    index = path / "NDTiff.index"
    content = bytearray(index.read_bytes())
    if damage == "link":
        (stack,) = path.glob("*.tif")
        outside = stack.rename(tmp_path / "outside.tif")
        create_link(stack, outside, "refusal of a stack outside the folder")
    elif damage == "truncated":
        del content[-10:]
    else:  # the last entry ends with offset, width, height, type, ... as 8 integers
        where = len(content) - 32 + (4 if damage == "size" else 0)
        struct.pack_into("<I", content, where, 2**31)
    index.write_bytes(content)
    with pytest.raises(UnsupportedError, match=r"old_1"):
        convert(path, tmp_path / "new.ome.zarr")
    assert not (tmp_path / "new.ome.zarr").exists()
