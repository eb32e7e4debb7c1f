"""``ome-writers info`` describes datasets of this library and of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OmeTiffFormat,
    Plate,
    Position,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers_tools.cli import main
from ome_writers_tools.cli.commands.info import MAX_IMAGE_ROWS
from ome_writers_tools.cli.description import describe


def write(path: Path, *, positions: list[Any] | None = None, **more: Any) -> AcquisitionSettings:
    """Write 2 time points, 2 channels and 24 x 32 pixels; each frame contains its number."""
    sizes: dict[str, Any] = {"t": 2, "c": ["DAPI", "FITC"], "y": 24, "x": 32}
    dimensions = dims_from_standard_axes(sizes)
    if positions is not None:
        dimensions.insert(0, Dimension(name="p", type="position", coords=positions))
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16", **more)
    with create_stream(settings) as stream:
        for number in range(settings.num_frames):
            stream.append(np.full((24, 32), number, np.uint16))
    return settings


def test_describe_zarr_image(tmp_path: Path) -> None:
    path = tmp_path / "one.ome.zarr"
    write(path, compression="blosc-zstd")
    description = describe(path)
    assert (description.format, description.layout) == ("OME-Zarr 0.5", "image")
    assert (description.status, description.frames_written) == ("complete", 4)
    assert description.bytes_on_disk == sum(
        file.stat().st_size for file in path.rglob("*") if file.is_file()
    )
    (image,) = description.images
    assert [(axis.name, axis.size) for axis in image.axes] == [
        ("t", 2),
        ("c", 2),
        ("y", 24),
        ("x", 32),
    ]
    assert (image.dtype, image.channels) == ("uint16", ("DAPI", "FITC"))
    assert image.storage == "chunks 1x1x24x32, blosc-zstd"


def test_describe_collection(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.zarr"
    write(path, positions=["left", "right"])
    description = describe(path)
    assert description.layout == "collection"
    assert [(image.path, image.name) for image in description.images] == [
        ("0", "left"),
        ("1", "right"),
    ]


def test_describe_plate(tmp_path: Path) -> None:
    path = tmp_path / "plate.ome.zarr"
    positions = [Position(name="f", plate_row="B", plate_column=str(n)) for n in (1, 3)]
    write(path, positions=positions, plate=Plate.from_standard_wells(24))
    description = describe(path)
    assert description.layout == "plate"
    assert [image.path.rsplit("/", 1)[0] for image in description.images] == ["B/1", "B/3"]


def test_describe_shards_and_scales(tmp_path: Path) -> None:
    path = tmp_path / "sharded.ome.zarr"
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="z", count=4, scale=0.5, unit="um", shard_size_chunks=2),
            Dimension(name="y", count=8),
            Dimension(name="x", count=8),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(4):
            stream.append(np.zeros((8, 8), np.uint8))
    (image,) = describe(path).images
    assert image.storage.startswith("shards 2x8x8, chunks 1x8x8")
    assert str(image.axes[0]) == "z=4 (0.5 µm)"


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_units_are_the_same_in_both_formats(tmp_path: Path, suffix: str) -> None:
    """Text shows the unit's symbol, JSON its NGFF name."""
    settings = AcquisitionSettings(
        root_path=tmp_path / f"run{suffix}",
        dimensions=[
            Dimension(name="t", count=2, scale=30, unit="s"),
            Dimension(name="z", count=2, scale=0.5, unit="um"),
            Dimension(name="y", count=8, scale=100, unit="nm"),
            Dimension(name="x", count=8, scale=100, unit="nm"),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(4):
            stream.append(np.zeros((8, 8), np.uint8))
    axes = describe(tmp_path / f"run{suffix}").images[0].axes
    assert [str(axis) for axis in axes] == [
        "t=2 (30 s)",
        "z=2 (0.5 µm)",
        "y=8 (100 nm)",
        "x=8 (100 nm)",
    ]
    units = [axis.unit for axis in axes]
    assert units == ["second", "micrometer", "nanometer", "nanometer"]


@pytest.mark.parametrize("metadata", ["redundant", "master-tiff", "companion-file"])
def test_describe_tiff_set_from_any_file(tmp_path: Path, metadata: str) -> None:
    path = tmp_path / "set.ome.tiff"
    settings = write(
        path, positions=["left", "right"], format=OmeTiffFormat(multi_file_metadata=metadata)
    )
    folder = Path(settings.output_path)
    files = sorted(folder.glob("*.ome.tiff"))
    for path in (folder, *files):
        description = describe(path)
        assert (description.format, description.layout) == ("OME-TIFF", "collection")
        assert [image.name for image in description.images] == ["left", "right"]
        assert [image.path for image in description.images] == [file.name for file in files]
        image = description.images[0]
        assert {axis.name: axis.size for axis in image.axes} == {"t": 2, "c": 2, "y": 24, "x": 32}
        assert (image.dtype, image.channels) == ("uint16", ("DAPI", "FITC"))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_describe_third_party_tiff(tmp_path: Path, byteorder: Any, bigtiff: bool) -> None:
    import tifffile

    path = tmp_path / "theirs.ome.tif"
    tifffile.imwrite(
        path,
        np.zeros((3, 2, 16, 16), np.float32),
        byteorder=byteorder,
        bigtiff=bigtiff,
        compression="zlib",
        metadata={"axes": "TCYX", "Channel": {"Name": ["a", "b"]}},
    )
    description = describe(path)
    assert (description.layout, description.status, description.files) == ("image", None, 1)
    (image,) = description.images
    assert [(axis.name, axis.size) for axis in image.axes] == [
        ("t", 3),
        ("c", 2),
        ("y", 16),
        ("x", 16),
    ]
    assert (image.dtype, image.channels, image.storage) == ("float32", ("a", "b"), "deflate")


def test_first_images_without_all_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.ome.zarr"
    write(path, positions=[f"name{n:02}" for n in range(MAX_IMAGE_ROWS + 2)])
    assert main(["info", str(path)]) == 0
    short = capsys.readouterr().out
    assert "name00" in short
    assert f"name{MAX_IMAGE_ROWS}" not in short
    assert "and 2 more; --all shows them" in short
    assert main(["info", str(path), "--all"]) == 0
    assert f"name{MAX_IMAGE_ROWS + 1}" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.ome.zarr"
    write(path)
    assert main(["info", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["status"] == "complete"
    assert content["images"][0]["axes"][0]["name"] == "t"


def test_describe_while_writing(tmp_path: Path) -> None:
    path = tmp_path / "live.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 3, "y": 8, "x": 8})
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    with create_stream(settings) as stream:
        stream.append(np.zeros((8, 8), np.uint8))
        description = describe(path)
    assert (description.status, description.frames) == ("writing", "0 of 3")
    assert describe(path).frames == "1 of 3"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "contains neither an OME-Zarr nor TIFF files"),
        (
            lambda path: path.write_bytes(b"hello, this is not a picture"),
            "is neither an OME-TIFF file nor",
        ),
        (lambda path: path.write_bytes(b""), "is neither an OME-TIFF file nor"),
        (lambda path: _zarr_json(path, "{"), "is not valid JSON"),
        (lambda path: _zarr_json(path, "{}"), "is a Zarr node without `ome` in its attributes"),
        (
            lambda path: _zarr_json(path, '{"attributes": {"ome": {"multiscales": []}}}'),
            "is not a valid OME-Zarr: list index out of range",
        ),
        (
            lambda path: (path.mkdir(), (path / ".zattrs").write_text("{}")),
            "is a Zarr node without `ome` in its attributes",
        ),
    ],
)
def test_error_names_path_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, message: str
) -> None:
    path = tmp_path / "thing"
    make(path)
    assert main(["info", str(path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(path) in error


def test_tiff_without_ome_xml_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tifffile

    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((4, 4), np.uint8), description="just a picture")
    assert main(["info", str(path)]) == 0
    assert "TIFF, image" in capsys.readouterr().out
    path = path.rename(tmp_path / "plain.ome.tif")
    assert main(["info", str(path)]) == 1
    assert "plain.ome.tif is not an OME-TIFF" in capsys.readouterr().err


def _zarr_json(path: Path, text: str) -> None:
    path.mkdir()
    (path / "zarr.json").write_text(text)


@pytest.mark.parametrize("with_metadata", [0, 1, 4])
def test_frame_count_of_tiff_with_partial_frame_metadata(
    tmp_path: Path, with_metadata: int
) -> None:
    pytest.importorskip("tifffile", reason="the OME-TIFF engine requires it")
    path = tmp_path / "one.ome.tiff"
    dims = dims_from_standard_axes({"t": 6, "y": 8, "x": 8})
    stream = create_stream(AcquisitionSettings(root_path=path, dimensions=dims, dtype="uint8"))
    assert describe(path).frames == "0 of 6"
    for number in range(4):
        metadata = {"number": number} if number < with_metadata else None
        stream.append(np.ones((8, 8), "uint8"), frame_metadata=metadata)
    stream.close()
    assert describe(path).frames == "4 of 6"
