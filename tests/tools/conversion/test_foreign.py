"""Conversion of datasets of other writers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import tifffile
from ome_types import from_tiff

import ome_writers
from ome_writers import UnsupportedError, convert, read_frame_metadata, validate


def write_omezarr(folder: Path, pixels: np.ndarray[Any, Any], *, name: str = "cells") -> None:
    """Write an OME-Zarr image with two levels, chunks of several planes in shards, and a translation."""
    chunk = [4, 1, 8, 8]
    for level, data in (("s0", pixels), ("s1", pixels[..., ::2, ::2])):
        tensorstore.open(
            {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(folder / level)},
                "metadata": {
                    "shape": list(data.shape),
                    "data_type": str(data.dtype),
                    "chunk_grid": {
                        "name": "regular",
                        "configuration": {"chunk_shape": [4, 1, 16, 16]},
                    },
                    "codecs": [
                        {
                            "name": "sharding_indexed",
                            "configuration": {
                                "chunk_shape": chunk,
                                "codecs": [
                                    {"name": "bytes", "configuration": {"endian": "little"}},
                                    {"name": "gzip", "configuration": {"level": 1}},
                                ],
                            },
                        }
                    ],
                },
            },
            create=True,
        ).result().write(data).result()
    scales = [[{"type": "scale", "scale": [1.0, 1.0, n, n]}] for n in (200.0, 400.0)]
    translation = [{"type": "translation", "translation": [0.0, 0.0, 5000.0, 7000.0]}]
    ome = {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [
                    {"name": "t", "type": "time", "unit": "second"},
                    {"name": "c", "type": "channel"},
                    {"name": "y", "type": "space", "unit": "nanometer"},
                    {"name": "x", "type": "space", "unit": "nanometer"},
                ],
                "datasets": [
                    {"path": level, "coordinateTransformations": scale + translation}
                    for level, scale in zip(("s0", "s1"), scales, strict=True)
                ],
                "coordinateTransformations": [{"type": "scale", "scale": [0.5, 1.0, 1.0, 1.0]}],
            }
        ],
        "omero": {
            "channels": [
                {"label": "GFP", "color": "00FF00", "window": {"start": 5, "end": 900}},
                {"label": "GFP", "color": "FF00FF"},
            ]
        },
    }
    _group(folder, {"ome": ome, "study": {"id": 3}, "note": "hello"})


def _group(folder: Path, attributes: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    metadata = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (folder / "zarr.json").write_text(json.dumps(metadata))


@pytest.fixture
def pixels() -> np.ndarray[Any, Any]:
    """Return six time points and two channels of 16 x 20 random pixels."""
    return np.random.default_rng(1).integers(0, 2**16, (6, 2, 16, 20), "uint16")


def test_zarr_of_other_writer_to_tiff(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    write_omezarr(tmp_path / "a.zarr", pixels)
    done = convert(tmp_path / "a.zarr", tmp_path / "b.ome.tiff", verify=True)
    assert np.array_equal(tifffile.imread(done.destination), pixels)
    (image,) = from_tiff(done.destination).images
    assert image.name == "cells"
    assert (image.pixels.physical_size_x, image.pixels.physical_size_x_unit.value) == (200.0, "nm")
    assert (image.pixels.time_increment, image.pixels.time_increment_unit.value) == (0.5, "s")
    assert [c.name for c in image.pixels.channels] == ["GFP", "GFP_1"]
    assert image.pixels.channels[0].color.as_named() == "lime"


def test_zarr_of_other_writer_to_zarr(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Chunks, shards, compression, translation, display range and other root attributes are kept."""
    write_omezarr(tmp_path / "a.zarr", pixels)
    done = convert(tmp_path / "a.zarr", tmp_path / "b.ome.zarr", verify=True)
    array = json.loads((done.destination / "0" / "zarr.json").read_bytes())
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [4, 1, 16, 16]
    assert array["codecs"][0]["configuration"]["chunk_shape"] == [4, 1, 8, 8]
    assert array["codecs"][0]["configuration"]["codecs"][1]["name"] == "gzip"
    attributes = json.loads((done.destination / "zarr.json").read_bytes())["attributes"]
    level, half = attributes["ome"]["multiscales"][0]["datasets"]
    assert half["coordinateTransformations"][0]["scale"] == [0.5, 1.0, 400.0, 400.0]
    assert level["coordinateTransformations"] == [
        {"type": "scale", "scale": [0.5, 1.0, 200.0, 200.0]},
        {"type": "translation", "translation": [0.0, 0.0, 5000.0, 7000.0]},
    ]
    window = attributes["ome"]["omero"]["channels"][0]["window"]
    assert (window["start"], window["end"]) == (5, 900)
    assert (attributes["study"], attributes["attributes"]) == ({"id": 3}, {"note": "hello"})
    assert validate(done.destination).valid


def test_collection_and_plate_of_other_writer(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Images keep their own extents; translations become stage positions."""
    write_omezarr(tmp_path / "a.zarr" / "one", pixels, name="one")
    write_omezarr(tmp_path / "a.zarr" / "two", pixels[:2] + 1, name="two")
    _group(tmp_path / "a.zarr", {"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    _group(tmp_path / "a.zarr" / "OME", {"ome": {"series": ["one", "two"]}})
    done = convert(tmp_path / "a.zarr", tmp_path / "b.ome.tiff", verify=True)
    assert done.frames == 16
    ome = from_tiff(sorted(done.destination.iterdir())[0])
    assert [(i.name, i.pixels.size_t) for i in ome.images] == [("one", 6), ("two", 2)]
    assert (ome.images[0].stage_label.x, ome.images[0].stage_label.y) == (7.0, 5.0)

    write_omezarr(tmp_path / "p.zarr" / "B" / "2" / "0", pixels)
    _group(tmp_path / "p.zarr" / "B" / "2", {"ome": {"well": {"images": [{"path": "0"}]}}})
    plate = {
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "wells": [{"path": "B/2", "rowIndex": 1, "columnIndex": 1}],
    }
    _group(tmp_path / "p.zarr", {"ome": {"version": "0.5", "plate": plate}})
    done = convert(tmp_path / "p.zarr", tmp_path / "q.ome.tiff", verify=True)
    (found,) = from_tiff(done.destination).plates
    assert [(w.row, w.column) for w in found.wells] == [(1, 1)]
    assert (found.rows, found.columns) == (2, 2)


def test_tiff_of_other_writer_to_zarr(tmp_path: Path) -> None:
    """Units are converted, of pixel sizes and of planes."""
    pixels = np.random.default_rng(2).integers(0, 255, (3, 2, 16, 20), "uint8")
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        pixels,
        compression="zlib",
        tile=(16, 16),
        metadata={
            "axes": "ZCYX",
            "PhysicalSizeX": 250.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 250.0,
            "PhysicalSizeYUnit": "nm",
            "Channel": {"Name": ["a", "b"], "EmissionWavelength": [510, 610]},
            "Plane": {"ExposureTime": [20.0] * 6, "ExposureTimeUnit": ["ms"] * 6},
        },
    )
    done = convert(tmp_path / "a.ome.tif", tmp_path / "b.ome.zarr", verify=True)
    attributes = json.loads((done.destination / "zarr.json").read_bytes())["attributes"]
    axes = attributes["ome"]["multiscales"][0]["axes"]
    assert [(a["name"], a.get("unit")) for a in axes[-2:]] == [
        ("y", "nanometer"),
        ("x", "nanometer"),
    ]
    assert [c["label"] for c in attributes["ome"]["omero"]["channels"]] == ["a", "b"]
    assert attributes["ome_writers"]["channels"][1]["emission_wavelength_nm"] == 610
    assert {f["exposure_time"] for f in read_frame_metadata(done.destination)} == {0.02}
    store = {"driver": "file", "path": str(done.destination / "0")}
    array = tensorstore.open({"driver": "zarr3", "kvstore": store}, open=True).result()
    found = np.asarray(array.read().result())
    assert np.array_equal(found, pixels.swapaxes(0, 1))  # OME-Zarr has channels before z


def test_images_with_different_frames_are_refused_together(tmp_path: Path) -> None:
    """A file with a label image beside the scan."""
    path = tmp_path / "slide.ome.tif"
    large, small = np.ones((2, 32, 32), "uint8"), np.full((1, 8, 8), 7, "uint8")
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(large, metadata={"axes": "ZYX", "Name": "scan"})
        file.write(small, metadata={"axes": "ZYX", "Name": "label"})
    with pytest.raises(
        UnsupportedError, match=r"different frames.*\(32, 32\) uint8, \(8, 8\) uint8"
    ):
        convert(path, tmp_path / "all.ome.zarr")
    assert not (tmp_path / "all.ome.zarr").exists()
    for number, pixels in enumerate((large, small)):
        done = convert(path, tmp_path / f"{number}.ome.zarr", images=[number], verify=True)
        view = ome_writers.open(done.destination)
        assert np.array_equal(np.asarray(view).squeeze(), pixels.squeeze())


def test_cached_chunk_of_several_planes_is_read_once(
    tmp_path: Path, pixels: np.ndarray[Any, Any]
) -> None:
    """Without a cache, each plane reads the chunk again."""
    write_omezarr(tmp_path / "a.zarr", pixels)
    uncached = ome_writers.open(tmp_path / "a.zarr")
    cached = ome_writers.open(tmp_path / "a.zarr", remember=2**20)
    for view in (uncached, cached):
        assert np.array_equal(view[0, 0], pixels[0, 0])
    for file in (tmp_path / "a.zarr" / "s0" / "c" / "0" / "0").rglob("*"):
        if file.is_file():
            file.unlink()
    assert np.array_equal(cached[3, 0], pixels[3, 0])
    assert not uncached[3, 0].any()
    tiny = ome_writers.open(tmp_path / "a.zarr", remember=1)  # less than a chunk: nothing is cached
    assert np.array_equal(tiny[4, 1], pixels[4, 1])
