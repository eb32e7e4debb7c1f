"""Conversion of TIFF files, folders of them and Zarr arrays without OME metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import InvalidFileError, SettingsError, UnsupportedError, convert
from ome_writers_tools.cli import main

tifffile = pytest.importorskip("tifffile", reason="tifffile writes the files")

PIXELS = np.random.default_rng(8).integers(0, 255, (2, 3, 4, 16, 20)).astype("uint16")


def read_back(path: Path) -> tuple[str, Any]:
    view = omew.open(path)
    return "".join(view.dims), np.asarray(view)


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((16, 20), {}, "yx"),
        ((3, 16, 20), {"photometric": "rgb", "planarconfig": "separate"}, "cyx"),
        ((3, 16, 20), {"photometric": "rgb", "planarconfig": 2, "compression": "zlib"}, "cyx"),
        ((5, 16, 20), {"photometric": "minisblack", "metadata": None}, "zyx"),
        ((5, 16, 20), {"photometric": "minisblack", "byteorder": ">"}, "zyx"),
        ((2, 5, 16, 20), {"photometric": "minisblack", "compression": "lzw"}, "czyx"),
        ((2, 5, 16, 20), {"photometric": "minisblack", "metadata": {"axes": "TCYX"}}, "tcyx"),
        ((5, 16, 20), {"photometric": "minisblack", "truncate": True}, "zyx"),  # a single IFD
        ((5, 16, 20), {"photometric": "minisblack", "bigtiff": True, "tile": (16, 16)}, "zyx"),
    ],
)
def test_tiff_without_ome_xml(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], axes: str
) -> None:
    pixels = np.random.default_rng(8).integers(0, 2**16, shape).astype("uint16")
    tifffile.imwrite(tmp_path / "old.tif", pixels, **options)
    assert np.array_equal(tifffile.imread(tmp_path / "old.tif"), pixels)
    done = convert(tmp_path / "old.tif", tmp_path / "new.ome.zarr", verify=True)
    found, stored = read_back(done.destination)
    assert found == axes
    assert np.array_equal(stored, pixels)


def test_rgb_and_description_of_a_tiff(tmp_path: Path) -> None:
    pixels = np.random.default_rng(8).integers(0, 255, (16, 20, 3)).astype("uint8")
    tifffile.imwrite(tmp_path / "old.tif", pixels, description="slide 7", metadata=None)
    done = convert(tmp_path / "old.tif", tmp_path / "new.ome.tiff", verify=True)
    assert np.array_equal(tifffile.imread(done.destination), pixels)
    assert omew.read(done.destination).metadata["tiff"] == {"ImageDescription": "slide 7"}


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ("img_t{t:03}_c{c}_z{z:02}.tif", "tcz"),
        ("z{z}/t{t}c{c}.TIF", None),
        ("{z}-{t}-{c}.tif", "tcz"),  # without letters: in the order of the names
        ("run 2026-11-24 c{c}, t{t}, z{z}.tiff", "ctz"),
    ],
)
def test_numbers_in_names_are_axes(tmp_path: Path, names: str, axes: str | None) -> None:
    if axes is None:  # folders in the folder are not part of it
        names, axes = "c{c} t{t} z{z}.TIF", "ctz"
        (tmp_path / "old" / "z1").mkdir(parents=True)
    (tmp_path / "old").mkdir(exist_ok=True)
    for t, c, z in np.ndindex(2, 3, 4):
        name = names.format(t=t, c=c, z=z)
        imagej = bool(c == 1)  # as Fiji writes an image sequence
        tifffile.imwrite(tmp_path / "old" / name, PIXELS[t, c, z], imagej=imagej)
    done = convert(tmp_path / "old", tmp_path / "new.ome.zarr", verify=True)
    found, stored = read_back(done.destination)
    assert found == f"{axes}yx"
    order = "ztc" if names.startswith("{z}") else axes
    assert np.array_equal(stored, PIXELS.transpose(*("tcz".index(a) for a in order), 3, 4))


def test_files_without_a_grid_are_in_natural_order(tmp_path: Path) -> None:
    """Of multi-page files, `axes` names the files first."""
    (tmp_path / "old").mkdir()
    for number, name in enumerate(["a2.tif", "a10.tif", "b1.tif"]):
        more = {"photometric": "minisblack", "metadata": None}
        tifffile.imwrite(tmp_path / "old" / name, PIXELS[0, number], **more)
    (tmp_path / "old" / "notes.txt").write_text("not an image")
    old, new = f"{tmp_path}/old", f"{tmp_path}/new.ome.zarr"
    assert main(["convert", old, new, "--axes", "tzyx", "--verify"]) == 0
    found, stored = read_back(Path(new))
    assert found == "tzyx"
    assert np.array_equal(stored, PIXELS[0])


def test_folder_of_different_files_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a1.tif", PIXELS[0, 0, 0])
    tifffile.imwrite(tmp_path / "a2.tif", PIXELS[0, 0, 0, :8])
    with pytest.raises(UnsupportedError, match=r"a2\.tif has another frame size .* than a1\.tif"):
        convert(tmp_path, tmp_path / "new.ome.zarr")


def test_several_series_and_damage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS[0, 0, 0])
        file.write(PIXELS[0, 0, 0, :8])
    with pytest.raises(UnsupportedError, match=r"contains 2 series of pages .*16, 20.*8, 20"):
        convert(path, tmp_path / "new.ome.zarr")
    tifffile.imwrite(
        path, PIXELS[0, 0], photometric="minisblack", compression="zlib", metadata=None
    )
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidFileError, match=r"old\.tif"):
        convert(path, tmp_path / "new.ome.zarr")
    assert not (tmp_path / "new.ome.zarr").exists()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("named", [True, False])
def test_zarr_array_without_ome_metadata(tmp_path: Path, zarr_format: int, *, named: bool) -> None:
    zarr = pytest.importorskip("zarr", minversion="3", reason="zarr-python writes the arrays")
    more: dict[str, Any] = {"shards": (2, 4, 16, 20)} if zarr_format == 3 else {}
    if named and zarr_format == 3:
        more["dimension_names"] = ["t", "c", "y", "x"]
    array = zarr.create_array(
        tmp_path / "old.zarr",
        shape=(3, 4, 16, 20),
        dtype=">u2" if zarr_format == 2 else "uint16",
        chunks=(1, 2, 16, 20),
        zarr_format=zarr_format,
        **more,
    )
    array[:] = PIXELS[0]
    if named and zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "channel", "y", "x"]
    done = convert(tmp_path / "old.zarr", tmp_path / "new.ome.zarr", verify=True)
    found, stored = read_back(done.destination)
    assert found == ("tcyx" if named else "czyx")
    assert np.array_equal(stored, PIXELS[0])
    level = omew.read(done.destination).images[0].levels[0]
    assert (level.chunks, level.shards) == ((1, 2, 16, 20), more.get("shards"))
    assert level.compression == "zstd"
    done = convert(tmp_path / "old.zarr", tmp_path / "new.ome.tiff", axes="ztyx", verify=True)
    assert done.frames == 12
    with pytest.raises(SettingsError, match="has the axes"):
        convert(tmp_path / "old.zarr", tmp_path / "no.ome.tiff", axes="tyx")


def test_zarr_arrays_that_are_not_images_are_refused(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3", reason="zarr-python writes the arrays")
    zarr.create_array(tmp_path / "rgb.zarr", shape=(5, 16, 20, 3), dtype="uint8")
    with pytest.raises(UnsupportedError, match="its last axis seems to be samples"):
        convert(tmp_path / "rgb.zarr", tmp_path / "new.ome.zarr")
    zarr.create_array(tmp_path / "line.zarr", shape=(5,), dtype="uint8")
    with pytest.raises(UnsupportedError, match=r"line\.zarr"):
        convert(tmp_path / "line.zarr", tmp_path / "new.ome.zarr")
    zarr.create_group(tmp_path / "group.zarr").create_array("a", shape=(5, 6), dtype="uint8")
    for path in ("group.zarr", "group.zarr/a"):
        with pytest.raises(InvalidFileError, match="without `ome`"):
            convert(tmp_path / path, tmp_path / "new.ome.zarr")


@pytest.mark.parametrize("command", ["validate", "repair", "edit", "pyramid"])
@pytest.mark.parametrize("kind", ["old.tif", "old.zarr"])
def test_sources_without_metadata_are_not_modified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, kind: str
) -> None:
    path = tmp_path / kind
    if kind.endswith("tif"):
        tifffile.imwrite(path, PIXELS[0, 0, 0])
    else:
        zarr = pytest.importorskip("zarr", minversion="3", reason="zarr-python writes the arrays")
        zarr.create_array(path, shape=(5, 16, 20), dtype="uint8")[:] = 1
    before = {f: f.read_bytes() for f in [path, *path.rglob("*")] if f.is_file()}
    assert main(["info", str(path)]) == 0
    more = ["--name", "0=a"] if command == "edit" else []
    assert main([command, str(path), *more]) == 1
    out, err = capsys.readouterr()
    assert kind in out + err
    assert {f: f.read_bytes() for f in [path, *path.rglob("*")] if f.is_file()} == before
