"""Conversion of datasets of cameras with different frames, camera by camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from ome_types import from_tiff

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Camera,
    Dimension,
    UnsupportedError,
    convert,
    create_stream,
    edit,
    read_frame_metadata,
    validate,
)
from ome_writers_tools.conversion import split_images

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = pytest.mark.parametrize("suffix", ["zarr", "tiff"])
TO = pytest.mark.parametrize("to", ["zarr", "tiff"])
LARGE = {"height": 10, "width": 14, "pixel_size": 0.25}
DIFFERENT = [Camera(name="A"), Camera(name="B", dtype="uint8", **LARGE)]


def write(path: Path, cameras: list[Camera], *, positions: list[str] | None = None) -> None:
    """Write three time points, two channels (and positions) and two cameras. Frame n has the value n + 1."""
    position = [Dimension(name="p", coords=positions)] if positions else []
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=3),
            *position,
            Dimension(name="c", coords=["DAPI", "FITC"]),
            Dimension(name="cam", type="other", coords=cameras),
            Dimension(name="y", count=8, scale=0.5, unit="um"),
            Dimension(name="x", count=6, scale=0.5, unit="um"),
        ],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        stream.set_global_metadata("lab", {"room": 7})
        for number in range(settings.num_frames or 0):
            image = stream.plan.images[number % len(stream.plan.images)]
            frame = np.full(image.frame_shape, number + 1, image.array.dtype)
            stream.append(frame, frame_metadata={"delta_t": float(number)})


@FORMATS
@TO
def test_channels_of_cameras_that_share_an_image(suffix: str, to: str, tmp_path: Path) -> None:
    source = tmp_path / f"a.ome.{suffix}"
    write(source, [Camera(name="A"), Camera(name="B")])
    done = convert(source, tmp_path / f"b.ome.{to}", verify=True)
    for path in (source, done.destination):
        assert ome_writers.open(path).coords["c"] == ["DAPI", "FITC"]
        names = [channel.name for channel in ome_writers.read(path).images[0].channels]
        assert names == ["DAPI / A", "DAPI / B", "FITC / A", "FITC / B"]
    edit(done.destination, channels={"DAPI / B": {"name": "nuclei", "color": "red"}})
    names = [channel.name for channel in ome_writers.read(done.destination).images[0].channels]
    assert names == ["DAPI / A", "nuclei", "FITC / A", "FITC / B"]
    assert ome_writers.open(done.destination).coords["c"] == ["DAPI", "FITC"]
    if to == "tiff":
        with pytest.raises(UnsupportedError, match="has no element for display windows"):
            edit(done.destination, channels={0: {"window": (1, 2)}})


@FORMATS
@TO
def test_each_camera_is_converted_to_its_own_dataset(suffix: str, to: str, tmp_path: Path) -> None:
    source = tmp_path / f"a.ome.{suffix}"
    write(source, DIFFERENT)
    assert split_images(source) == [[0], [1]]
    for number, (shape, dtype, size) in enumerate(
        [((8, 6), "uint16", 0.5), ((10, 14), "uint8", 0.25)]
    ):
        made = convert(source, tmp_path / f"{number}.ome.{to}", images=[number], verify=True)
        assert (made.images, made.frames) == (1, 6)
        pixels = np.asarray(ome_writers.open(made.destination)).reshape(6, *shape)
        assert pixels.dtype == dtype
        expected = range(number + 1, 13, 2)
        assert [np.unique(frame).tolist() for frame in pixels] == [[n] for n in expected]
        times = [frame["delta_t"] for frame in read_frame_metadata(made.destination)]
        assert times == [n - 1.0 for n in expected]
        assert validate(made.destination).valid
        if to == "tiff":
            (image,) = from_tiff(made.destination).images
            assert (image.name, image.pixels.physical_size_x) == ("AB"[number], size)
            assert [c.name for c in image.pixels.channels] == ["DAPI", "FITC"]


@FORMATS
def test_positions_of_one_camera_are_in_one_dataset(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"a.ome.{suffix}", DIFFERENT, positions=["here", "there"])
    source = tmp_path / (f"a.ome.{suffix}" if suffix == "zarr" else "a")
    assert split_images(source) == [[0, 2], [1, 3]]
    for number, images in enumerate(split_images(source)):
        made = convert(source, tmp_path / f"{number}.ome.zarr", images=images, verify=True)
        view = ome_writers.open(made.destination)
        sizes: Any = dict(zip(view.dims, view.shape, strict=True))
        assert (sizes["p"], sizes["t"], sizes["c"]) == (2, 3, 2)
        assert sorted(np.unique(np.asarray(view)).tolist()) == list(range(number + 1, 25, 2))


def test_grey_and_rgb_camera_of_same_size(tmp_path: Path) -> None:
    cameras = [Camera(name="A", dtype="uint8"), Camera(name="B", dtype="uint8", rgb=True)]
    write(tmp_path / "a.ome.zarr", cameras)
    for number, samples in enumerate([(), (3,)]):
        made = convert(tmp_path / "a.ome.zarr", tmp_path / f"{number}.ome.tiff", images=[number])
        with tifffile.TiffFile(made.destination) as file:
            assert file.pages.first.asarray().shape == (8, 6, *samples)


def test_images_with_different_pixel_size_are_refused_together(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tiff", [Camera(name="A"), Camera(name="B", pixel_size=0.25)])
    with pytest.raises(UnsupportedError, match=r"images=\[0\], images=\[1\]"):
        convert(tmp_path / "a.ome.tiff", tmp_path / "b.ome.zarr")
    made = convert(tmp_path / "a.ome.tiff", tmp_path / "b.ome.tiff", images=[1])
    assert from_tiff(made.destination).images[0].pixels.physical_size_x == 0.25
