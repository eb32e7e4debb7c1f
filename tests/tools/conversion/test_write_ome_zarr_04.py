"""Conversion to OME-Zarr 0.4, for readers of Zarr v2."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    OutputExistsError,
    Position,
    SettingsError,
    UnsupportedError,
    convert,
    create_stream,
    read_frame_metadata,
)
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

tensorstore = pytest.importorskip("tensorstore", reason="reads the result")
yaozarrs = pytest.importorskip("yaozarrs", reason="validates the result")

PIXELS = np.random.default_rng(10).integers(0, 200, (3, 2, 2, 64, 48), "uint16")  # t, p, c, y, x


def write(
    path: Path, *, dtype: str = "uint16", positions: Any = ("a", "b"), **options: Any
) -> Path:
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=3, scale=2, unit="second"),
            Dimension(name="p", coords=list(positions)),
            Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), "BF"]),
            Dimension(name="y", count=64, scale=0.5, unit="um"),
            Dimension(name="x", count=48, scale=0.5, unit="um"),
        ],
        dtype=dtype,
        **options,
    )
    with create_stream(settings) as stream:
        for t, p, c in np.ndindex(3, 2, 2):
            stream.append(PIXELS[t, p, c].astype(dtype), frame_metadata={"delta_t": 2.5 * t})
        stream.set_global_metadata("study", {"id": 3})
    return Path(settings.output_path)


def read_zarr(path: Path) -> Any:
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(path)}}
    return np.asarray(tensorstore.open(spec, open=True).result().read().result())


# A normal run has every second pair: each compression and each type several times.
PAIRS = [
    pytest.param(compression, dtype, marks=pytest.mark.sweep if (i + j) % 2 else ())
    for i, compression in enumerate(["none", "blosc-zstd", "blosc-lz4", "zstd", "gzip"])
    for j, dtype in enumerate(["uint8", "int16", "uint16", "float32"])
]


@pytest.fixture(scope="module")
def source_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns a dataset of a type, which is written once."""

    @cache
    def source(dtype: str) -> Path:
        return write(tmp_path_factory.mktemp("source") / "run.ome.zarr", dtype=dtype)

    return source


@pytest.mark.parametrize(("compression", "dtype"), PAIRS)
def test_every_compression_and_dtype(
    tmp_path: Path, source_of: Callable[[str], Path], compression: str, dtype: str
) -> None:
    source = source_of(dtype)
    done = convert(
        source, tmp_path / "old.ome.zarr", format="ome-zarr-0.4", compression=compression
    )
    assert (done.destination, done.frames) == (tmp_path / "old.ome.zarr", 12)
    for position in range(2):
        stored = read_zarr(done.destination / str(position) / "0")
        assert stored.dtype == dtype
        assert np.array_equal(stored, PIXELS[:, position])
    assert not list(done.destination.rglob("zarr.json"))
    assert [p.name for p in tmp_path.iterdir()] == ["old.ome.zarr"]
    assert [p.name for p in source.parent.iterdir()] == ["run.ome.zarr"]


def test_zarr_python_reads_it_and_xarray_names_its_axes(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3", reason="reads Zarr v2")
    done = convert(
        write(tmp_path / "run.ome.zarr"), tmp_path / "old.ome.zarr", format="ome-zarr-0.4"
    )
    group = zarr.open_group(done.destination, mode="r", zarr_format=2)
    assert np.array_equal(group["1/0"][...], PIXELS[:, 1])
    assert group["1/0"].attrs["_ARRAY_DIMENSIONS"] == ["t", "c", "y", "x"]
    assert group.attrs["bioformats2raw.layout"] == 3


def test_metadata(tmp_path: Path) -> None:
    source = write(
        tmp_path / "run.ome.zarr", positions=[Position(name="a", x_coord=5, y_coord=7), "b"]
    )
    done = convert(source, tmp_path / "old.ome.zarr", format="ome-zarr-0.4", verify=True)
    attributes = json.loads((done.destination / "0" / ".zattrs").read_text())
    assert yaozarrs.v04.Image.model_validate(attributes).multiscales[0].version == "0.4"
    assert "ome" not in attributes
    spec = omew.read(done.destination)
    assert (spec.format, spec.version, spec.status) == ("ome-zarr-0.4", "0.4", "complete")
    image = spec.images[0]
    assert image.levels[0].scale == (2, None, 0.5, 0.5)
    assert [(c.name, str(c.color)) for c in image.channels] == [("DAPI", "blue"), ("BF", "None")]
    assert image.position is not None
    assert (image.position.x_coord, image.position.y_coord) == (5, 7)
    assert spec.metadata["study"] == {"id": 3}
    assert {frame["delta_t"] for frame in read_frame_metadata(done.destination)} == {0, 2.5, 5}
    again = convert(done.destination, tmp_path / "again.ome.zarr", verify=True)
    assert len(read_frame_metadata(again.destination)) == 12


def test_order_of_acquisition_and_channels_without_color_are_kept(tmp_path: Path) -> None:
    """As in the source; channels without a color were white, and positions came first."""
    axes = {"t": 2, "p": ["a", "b"], "z": 2, "c": ["my dye", "DAPI"], "y": 4, "x": 6}
    dimensions = omew.dims_from_standard_axes(axes)
    path = tmp_path / "run.ome.zarr"
    with omew.create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for number in range(16):
            stream.append(np.full((4, 6), number, "uint16"))
    done = convert(path, tmp_path / "old.ome.zarr", format="ome-zarr-0.4", verify=True)
    again = convert(done.destination, tmp_path / "again.ome.zarr", verify=True)
    for copy in (done.destination, again.destination):
        view = omew.open(copy)
        assert view.dims == ("t", "p", "z", "c", "y", "x")
        assert np.asarray(view)[..., 0, 0].ravel().tolist() == list(range(16))
        channels = omew.read(copy).images[1].channels
        assert [c.color and str(c.color) for c in channels] == [None, "blue"]


def test_plate_levels_and_sharded_source(tmp_path: Path) -> None:
    wells = [Position(name="0", plate_row="A", plate_column=str(n)) for n in (1, 2)]
    source = write(
        tmp_path / "run.ome.zarr",
        positions=wells,
        plate=omew.Plate(row_names=["A"], column_names=["1", "2"]),
    )
    sharded = convert(
        source,
        tmp_path / "shards.ome.zarr",
        chunk_shapes={"y": 16, "x": 16},
        shard_shapes={"y": 4, "x": 3},
    )
    done = convert(
        sharded.destination,
        tmp_path / "old.ome.zarr",
        format="ome-zarr-0.4",
        pyramid=omew.Pyramid(method="mean", levels=2),
    )
    root = json.loads((done.destination / ".zattrs").read_text())
    assert yaozarrs.v04.Plate.model_validate(root).plate.version == "0.4"
    for column in (1, 2):
        well = json.loads((done.destination / f"A/{column}/.zattrs").read_text())
        assert yaozarrs.v04.Well.model_validate(well).well.version == "0.4"
        image = next(path.parent for path in (done.destination / f"A/{column}").glob("*/.zattrs"))
        pixels = PIXELS[:, column - 1]
        assert np.array_equal(read_zarr(image / "0"), pixels)
        half = pixels.reshape(3, 2, 32, 2, 24, 2).mean(axis=(3, 5))
        assert np.abs(read_zarr(image / "1") - half).max() <= 0.5
        assert json.loads((image / "0" / ".zarray").read_text())["chunks"] == [1, 1, 16, 16]


def test_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "run.ome.zarr")
    with pytest.raises(SettingsError, match="has no shards"):
        convert(source, tmp_path / "a.ome.zarr", format="ome-zarr-0.4", shard_shapes={"t": 2})
    with pytest.raises(OutputExistsError):
        convert(source, source, format="ome-zarr-0.4", overwrite=True)
    convert(source, tmp_path / "old.ome.zarr", format="ome-zarr-0.4")
    with pytest.raises(OutputExistsError, match="not overwritten"):
        convert(source, tmp_path / "old.ome.zarr", format="ome-zarr-0.4", overwrite=True)
    file = source / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"]["plate"] = {"mine": True}
    file.write_text(json.dumps(content))
    with pytest.raises(UnsupportedError, match="'plate'"):
        convert(source, tmp_path / "b.ome.zarr", format="ome-zarr-0.4")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "a", "b"))]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "run.ome.zarr")
    command = ["convert", str(source), str(tmp_path / "old.ome.zarr"), "--ngff", "0.4", "--verify"]
    assert main(command) == 0
    assert np.array_equal(read_zarr(tmp_path / "old.ome.zarr" / "0" / "0"), PIXELS[:, 0])
    assert main([*command, "--shard", "t=2"]) == 2
    assert main(["convert", str(source), "--ngff", "0.4"]) != 0
    assert "0.4" in capsys.readouterr().err
