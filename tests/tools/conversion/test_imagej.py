"""Conversion of ImageJ hyperstacks, written by tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import UnsupportedError, convert, read_frame_metadata

tifffile = pytest.importorskip("tifffile", reason="tifffile writes the files")
tensorstore = pytest.importorskip("tensorstore", reason="reads the result")

PIXELS = np.random.default_rng(5).integers(0, 2**16, (3, 4, 2, 16, 20), "uint16")  # t, z, c, y, x


def read_zarr(path: Path) -> Any:
    store = {"driver": "file", "path": str(path / "0")}
    spec = {"driver": "zarr3", "kvstore": store}
    return np.asarray(tensorstore.open(spec, open=True).result().read().result())


def lookup_table(*color: int) -> Any:
    return np.stack([np.linspace(0, last, 256).astype("uint8") for last in color])


@pytest.mark.parametrize("destination", ["new.ome.zarr", "new.ome.tiff"])
@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_metadata_of_a_hyperstack(tmp_path: Path, destination: str, unit: str) -> None:
    tifffile.imwrite(
        tmp_path / "old.tif",
        PIXELS,
        imagej=True,
        resolution=(1 / 0.2, 1 / 0.25),
        metadata={
            "axes": "TZCYX",
            "spacing": 1.5,
            "unit": unit,
            "finterval": 2.5,
            "Labels": [f"plane {n}" for n in range(24)],
            "Ranges": (0.0, 100.0, 5.0, 900.0),
            "LUTs": [lookup_table(0, 255, 0), lookup_table(255, 0, 255)],
            "Info": "a note",
        },
    )
    done = convert(tmp_path / "old.tif", tmp_path / destination, verify=True)
    assert done.frames == 24
    spec = omew.read(done.destination)
    (image,) = spec.images
    scales = dict(zip(image.dims, image.levels[0].scale, strict=True))
    assert scales == {"t": 2.5, "c": None, "z": 1.5, "y": 0.25, "x": 0.2}
    units = {axis.name: axis.unit for axis in image.axes}
    assert units == {"t": "second", "c": None} | dict.fromkeys("zyx", "micrometer")
    assert [str(channel.color) for channel in image.channels] == ["lime", "magenta"]
    assert spec.metadata["imagej"]["Info"] == "a note"
    labels = {frame["label"] for frame in read_frame_metadata(done.destination)}
    assert labels == {f"plane {n}" for n in range(24)}
    if destination.endswith("zarr"):
        assert [channel.window for channel in image.channels] == [(0, 100), (5, 900)]
        assert np.array_equal(read_zarr(done.destination), PIXELS.swapaxes(1, 2))
        first = {
            tuple(f["storage_index"]): f["label"] for f in read_frame_metadata(done.destination)
        }
        assert first[0, 1, 0] == "plane 1"  # t, c, z
    else:
        view = omew.open(done.destination)
        order = [view.dims.index(name) for name in "tzcyx"]
        assert np.array_equal(np.asarray(view).transpose(order), PIXELS)


LAYOUTS = {"YX": "uint8", "ZYX": "uint16", "TYX": "float32", "CYX": "uint16", "TYXS": "uint8"}
# A normal run has two cases of each layout, with both compressions and both byte orders.
CASES = [
    pytest.param(
        axes, dtype, compression, order, marks=pytest.mark.sweep if (i + j + k) % 2 else ()
    )
    for i, (axes, dtype) in enumerate(LAYOUTS.items())
    for j, compression in enumerate([None, "zlib"])
    for k, order in enumerate("<>")
]


@pytest.mark.parametrize(("axes", "dtype", "compression", "byteorder"), CASES)
def test_pixels_of_every_layout(
    tmp_path: Path, axes: str, dtype: str, compression: str | None, byteorder: str
) -> None:
    sizes = {"T": 3, "Z": 4, "C": 2, "Y": 16, "X": 20, "S": 3}
    shape = [sizes[axis] for axis in axes]
    pixels = np.random.default_rng(6).integers(0, 255, shape).astype(dtype)
    tifffile.imwrite(
        tmp_path / "old.tif",
        pixels,
        imagej=True,
        compression=compression,
        byteorder=byteorder,
        metadata={"axes": axes},
    )
    assert np.array_equal(np.asarray(omew.open(tmp_path / "old.tif")), pixels)
    done = convert(tmp_path / "old.tif", tmp_path / "new.ome.zarr", verify=True)
    stored = read_zarr(done.destination)
    if axes.endswith("S"):  # RGB samples are channels in OME-Zarr
        stored = np.moveaxis(stored, -3, -1)
    assert np.array_equal(stored.reshape(pixels.shape), pixels)
    (image,) = omew.read(tmp_path / "old.tif").images
    assert image.levels[0].scale == (None,) * (len(axes) - axes.count("S"))


def test_stack_with_a_single_ifd(tmp_path: Path) -> None:
    """As ImageJ writes hyperstacks of more than 4 GiB."""
    pixels = PIXELS[:, :, 0]
    tifffile.imwrite(
        tmp_path / "old.tif",
        pixels[0, 0],
        description="ImageJ=1.54f\nimages=12\nslices=4\nframes=3\nhyperstack=true\nunit=pixel\n",
        metadata=None,
    )
    with (tmp_path / "old.tif").open("ab") as file:
        file.write(pixels.reshape(-1, 16, 20)[1:].tobytes())
    done = convert(tmp_path / "old.tif", tmp_path / "new.ome.zarr", verify=True)
    assert np.array_equal(read_zarr(done.destination), pixels)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    for compression in (None, "zlib"):
        path = tmp_path / f"{compression}.tif"
        tifffile.imwrite(path, PIXELS, imagej=True, compression=compression)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(UnsupportedError, match=path.name):
            convert(path, tmp_path / "new.ome.zarr")
        assert not (tmp_path / "new.ome.zarr").exists()


def test_stack_of_slices_is_a_time_series(tmp_path: Path) -> None:
    """ImageJ calls the planes of most imported stacks slices; `axes` corrects it, and other scales stay."""
    tifffile.imwrite(
        tmp_path / "old.tif",
        PIXELS[0, :, 0],
        imagej=True,
        resolution=(5, 5),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 1.0, "Labels": list("abcd")},
    )
    done = convert(tmp_path / "old.tif", tmp_path / "new.ome.zarr", axes="tyx", verify=True)
    assert np.array_equal(read_zarr(done.destination), PIXELS[0, :, 0])
    (image,) = omew.read(done.destination).images
    assert (image.dims, image.levels[0].scale) == (("t", "y", "x"), (None, 0.2, 0.2))
    assert [frame["label"] for frame in read_frame_metadata(done.destination)] == list("abcd")
