"""Conversion of OME-Zarr 0.4, which is Zarr v2; zarr-python writes the datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import UnsupportedError, convert
from ome_writers.repair import repair

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr-python writes the datasets")
numcodecs = pytest.importorskip("numcodecs", reason="the codecs of Zarr v2")

PIXELS = np.random.default_rng(5).integers(0, 2**16, (3, 2, 20, 30), "uint16")
AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def write_image(
    path: Path, pixels: Any = PIXELS, *, at: tuple[float, float] = (0.0, 0.0), **options: Any
) -> None:
    group = zarr.create_group(path, zarr_format=2, overwrite=True)
    options = {"chunks": (2, 1, 16, 16), "compressors": numcodecs.Blosc(), **options}
    array = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    transformations = [
        {"type": "scale", "scale": [0.5, 1.0, 0.2, 0.2]},
        {"type": "translation", "translation": [0.0, 0.0, *at]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": transformations}]
    channels = [
        {"label": "GFP", "color": "00FF00", "window": {"start": 5, "end": 900}},
        {"label": "RFP", "color": "FF0000"},
    ]
    multiscale = {"version": "0.4", "name": "cells", "axes": AXES, "datasets": datasets}
    group.attrs.update(multiscales=[multiscale], omero={"channels": channels}, study={"id": 3})


def read_zarr(path: Path) -> Any:
    return zarr.open_array(path, mode="r")[...]


def test_metadata_chunks_and_compression_are_kept(tmp_path: Path) -> None:
    write_image(tmp_path / "old.zarr", compressors=numcodecs.Blosc(cname="zstd"))
    done = convert(tmp_path / "old.zarr", tmp_path / "new.ome.zarr", verify=True)
    assert done.frames == 6
    assert np.array_equal(read_zarr(done.destination / "0"), PIXELS)
    spec = omew.read(done.destination)
    (image,) = spec.images
    assert (spec.version, image.levels[0].chunks) == ("0.5", (2, 1, 16, 16))
    assert image.levels[0].compression == "blosc-zstd"
    assert image.levels[0].scale == (0.5, None, 0.2, 0.2)
    assert [axis.unit for axis in image.axes] == ["second", None, "micrometer", "micrometer"]
    assert [(c.name, str(c.color)) for c in image.channels] == [("GFP", "lime"), ("RFP", "red")]
    assert image.channels[0].window == (5, 900)
    assert spec.metadata["study"] == {"id": 3}


OPTIONS: list[dict[str, Any]] = [
    {"compressors": None},
    {"compressors": numcodecs.Zlib()},
    {"compressors": numcodecs.GZip()},
    {"compressors": numcodecs.Zstd()},
    {"compressors": numcodecs.LZ4()},
    {"compressors": numcodecs.BZ2()},
    {"filters": [numcodecs.Delta("<u2")]},
    {"order": "F"},
    {"fill_value": 7},
]


@pytest.mark.parametrize(
    ("options", "separator"),
    [  # by turns with both separators in a normal run
        pytest.param(
            options,
            separator,
            marks=pytest.mark.sweep if (i + j) % 2 else (),
            id="-".join(f"{k}-{v}" for k, v in options.items())[:40] + separator,
        )
        for i, options in enumerate(OPTIONS)
        for j, separator in enumerate("./")
    ],
)
def test_every_codec_and_layout_of_zarr_v2(
    tmp_path: Path, options: dict[str, Any], separator: str
) -> None:
    """Arrays beyond blosc, zstd, gzip and zlib are read with zarr-python."""
    keys = {"name": "v2", "separator": separator}
    pixels = PIXELS.copy()
    pixels[0] = options.get("fill_value", 0)  # zarr-python does not store these chunks
    write_image(
        tmp_path / "old.zarr", pixels, chunks=(1, 1, 16, 16), chunk_key_encoding=keys, **options
    )
    done = convert(tmp_path / "old.zarr", tmp_path / "new.ome.zarr", verify=True)
    assert np.array_equal(read_zarr(done.destination / "0"), pixels)


@pytest.mark.parametrize("dtype", [">u2", "|u1", "<i4", ">f4", "<f8"])
def test_every_byte_order(tmp_path: Path, dtype: str) -> None:
    write_image(tmp_path / "old.zarr", PIXELS.astype(dtype))
    done = convert(tmp_path / "old.zarr", tmp_path / "new.ome.zarr", verify=True)
    assert np.array_equal(read_zarr(done.destination / "0"), PIXELS.astype(dtype))


def test_collection_and_plate(tmp_path: Path) -> None:
    """The images of bioformats2raw, and the fields of a well; translations become stage positions."""
    tifffile = pytest.importorskip("tifffile", reason="an independent reader of the result")
    root = zarr.create_group(tmp_path / "many.zarr", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME").attrs["series"] = ["0", "1"]
    write_image(tmp_path / "many.zarr" / "0")
    write_image(tmp_path / "many.zarr" / "1", PIXELS + 1, at=(10.0, 20.0))
    done = convert(tmp_path / "many.zarr", tmp_path / "many.ome.tiff", verify=True)
    spec = omew.read(done.destination)
    assert [i.position and (i.position.x_coord, i.position.y_coord) for i in spec.images] == [
        (None, None),
        (20.0, 10.0),
    ]
    files = sorted(done.destination.glob("*.tif*"))
    for number, file in enumerate(files):
        assert np.array_equal(
            tifffile.imread(file, is_ome=False), (PIXELS + number).reshape(-1, 20, 30)
        )

    root = zarr.create_group(tmp_path / "plate.zarr", zarr_format=2)
    wells = [{"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
    rows, columns = [{"name": "A"}, {"name": "B"}], [{"name": "1"}, {"name": "2"}]
    root.attrs["plate"] = {"version": "0.4", "rows": rows, "columns": columns, "wells": wells}
    well = root.create_group("B").create_group("2")
    well.attrs["well"] = {"version": "0.4", "images": [{"path": "0"}]}
    write_image(tmp_path / "plate.zarr" / "B" / "2" / "0")
    done = convert(tmp_path / "plate.zarr", tmp_path / "plate.ome.zarr", verify=True)
    (image,) = omew.read(done.destination).images
    assert image.position is not None
    assert (image.position.plate_row, image.position.plate_column) == ("B", "2")


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        (".zattrs", "multiscales", 5),
        (".zattrs", "multiscales", [3]),
        ("0/.zarray", "shape", [1, 2, 20, -30]),
        ("0/.zarray", "dtype", "<u99"),
        ("0/.zarray", "dtype", [["a", "<u2"]]),
        ("0/.zarray", "filters", ["delta"]),
        ("0/.zarray", "compressor", "blosc"),
        ("0/.zarray", "dimension_separator", "../"),
        ("0/.zarray", "chunks", None),
    ],
)
def test_damaged_metadata_is_refused(tmp_path: Path, file: str, key: str, value: Any) -> None:
    write_image(tmp_path / "old.zarr")
    content = json.loads((tmp_path / "old.zarr" / file).read_bytes())
    (tmp_path / "old.zarr" / file).write_text(json.dumps({**content, key: value}))
    with pytest.raises(UnsupportedError, match=r"old\.zarr"):
        convert(tmp_path / "old.zarr", tmp_path / "new.ome.zarr")
    assert not (tmp_path / "new.ome.zarr").exists()


def test_dataset_is_only_read(tmp_path: Path) -> None:
    """Operations that would write to it, or check what 0.5 requires, refuse it and leave it unchanged."""
    path = tmp_path / "old.zarr"
    write_image(path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    operations: list[Any] = [
        lambda: omew.edit(path, scale={"x": 0.3}),
        lambda: omew.add_pyramid(path),
        lambda: omew.convert_ngff_version(path, "0.6"),
        lambda: omew.validate(path),
        lambda: repair(path),
    ]
    for operation in operations:
        with pytest.raises(UnsupportedError, match=r"old\.zarr"):
            operation()
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
