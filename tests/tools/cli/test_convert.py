"""``ome-writers convert`` as a command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from ome_writers import (
    AcquisitionSettings,
    Camera,
    Dimension,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers_tools.cli import main
from support.acquisitions import acquisition

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return an OME-Zarr of six frames."""
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        for number in range(6):
            stream.append(np.full((4, 6), number, "uint16"))
    return tmp_path / "a.ome.zarr"


def test_result_on_stdout_progress_on_stderr(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = source.with_name("b.ome.tiff")
    assert main(["convert", str(source), str(target), "--verify", "--compression", "deflate"]) == 0
    streams = capsys.readouterr()
    assert "every frame equals the source" in streams.out
    assert "Written: 6 of 6" in streams.err
    assert "Verified: 6 of 6" in streams.err
    assert len(streams.err.splitlines()) == 2
    with tifffile.TiffFile(target) as file:
        assert file.pages.first.compression.name == "ADOBE_DEFLATE"
        assert [page.asarray()[0, 0] for page in file.pages] == list(range(6))


def test_json_and_chunk_options(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = source.with_name("b.ome.zarr")
    options = ["--chunk", "t=3,y=2", "--shard", "y=2", "--engine", "tensorstore", "--json"]
    assert main(["convert", str(source), str(target), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["destination"], result["frames"], result["images"]) == (str(target), 6, 1)
    assert result["bytes_on_disk"] == sum(
        f.stat().st_size for f in target.rglob("*") if f.is_file()
    )
    array = json.loads((target / "0" / "zarr.json").read_bytes())
    assert array["codecs"][0]["configuration"]["chunk_shape"] == [3, 1, 2, 6]


@pytest.mark.parametrize(
    ("tile", "expected"), [("16", (16, 16)), ("32,16", (32, 16)), ("none", None)]
)
def test_tile_option(tmp_path: Path, tile: str, expected: tuple[int, int] | None) -> None:
    source, target = tmp_path / "a.ome.zarr", tmp_path / "b.ome.tiff"
    axes = dims_from_standard_axes({"t": 2, "y": 70, "x": 100})
    with create_stream(root_path=source, dimensions=axes, dtype="uint16") as stream:
        for number in (1, 2):
            stream.append(np.arange(7000, dtype="uint16").reshape(70, 100) * number)
    options = ["--tile", tile, "--pyramid", "mean", "--verify"]
    assert main(["convert", str(source), str(target), *options]) == 0
    with tifffile.TiffFile(target) as file:
        page = file.pages.first
        assert (page.tile if page.is_tiled else None) == expected


def test_images_of_different_size_become_one_dataset_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dimensions = [
        Dimension(name="t", count=3),
        Dimension(name="cam", type="other", coords=[Camera(name="A"), Camera(name="B", width=9)]),
        Dimension(name="y", count=4),
        Dimension(name="x", count=6),
    ]
    source, target = tmp_path / "a.ome.zarr", tmp_path / "b.ome.tiff"
    settings = AcquisitionSettings(root_path=source, dimensions=dimensions, dtype="uint16")
    with create_stream(settings) as stream:
        for number in range(6):
            stream.append(np.full((4, (6, 9)[number % 2]), number, "uint16"))
    assert main(["convert", str(source), str(target), "--verify"]) == 0
    streams = capsys.readouterr()
    for number, width in enumerate((6, 9)):
        path = tmp_path / f"b_{number}.ome.tiff"
        assert f"image {number} of 2 becomes {path}" in streams.err
        with tifffile.TiffFile(path) as file:
            pages = [page.asarray() for page in file.pages]
        assert [page.shape for page in pages] == [(4, width)] * 3
        assert [page[0, 0] for page in pages] == [number, number + 2, number + 4]
    assert not target.exists()
    assert main(["convert", str(source), str(target), "--image", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["destination"], result["frames"]) == (str(target), 3)
    assert main(["convert", str(source), str(tmp_path / "c.ome.zarr"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [one["frames"] for one in result["datasets"]] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["SOURCE", "b.dat"], 2, "the suffix does not select a format"),
        (["SOURCE", "b.ome.tiff", "--engine", "direct"], 2, "direct does not write the format of"),
        (["SOURCE", "a.ome.zarr", "--overwrite"], 1, "is the source"),
        (["SOURCE", "b.ome.zarr", "--chunk", "k=3"], 1, "--chunk names ['k']"),
        (["SOURCE", "b.ome.zarr", "--chunk", "t"], 2, "is not a list of AXIS=SIZE"),
        (["SOURCE", "b.ome.zarr", "--chunk", "t=0"], 2, "is not a list of AXIS=SIZE"),
        (["SOURCE", "b.ome.zarr", "--chunk", "y=2,y=3"], 2, "'y=2,y=3' contains axis y twice"),
        (["SOURCE", "b.ome.tiff", "--shard", "t=2"], 2, "OME-TIFF has neither chunks nor shards"),
        (["SOURCE", "b.ome.zarr", "--tile", "16"], 2, "--tile: OME-Zarr has chunks instead"),
        (["SOURCE", "b.ome.tiff", "--tile", "20"], 2, "must be multiples of 16 from 16 to 8192"),
        (["SOURCE", "b.ome.tiff", "--tile", "16,"], 2, "is not the size of a tile"),
        (["SOURCE", "b.ome.tiff", "--tile", "16,16,16"], 2, "is not the size of a tile"),
        (["SOURCE", "there.ome.zarr"], 1, "--overwrite to replace it"),
        (["missing.ome.zarr", "b.ome.zarr"], 1, "missing.ome.zarr does not exist"),
        (["SOURCE"], 2, "required: DEST"),
        (
            ["SOURCE", "s3://bucket/b.ome.zarr"],
            2,
            "is a URL, and ome-writers writes to local paths only",
        ),
        (["SOURCE", "b.png"], 2, "use .ome.zarr or .ome.tiff"),
    ],
)
def test_error_is_one_sentence_and_nothing_is_written(
    source: Path,
    arguments: list[str],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(source.parent)
    (source.parent / "there.ome.zarr").mkdir()
    before = sorted(source.parent.iterdir())
    assert main(["convert", *(source.name if a == "SOURCE" else a for a in arguments)]) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert status == 2 or error.count("\n") == 1
    assert sorted(source.parent.iterdir()) == before
