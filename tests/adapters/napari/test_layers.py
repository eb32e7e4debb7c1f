"""Layers of datasets on disk, as the reader returns them to napari; napari itself is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    OmeZarrFormat,
    Plate,
    Position,
    create_stream,
)
from ome_writers_napari import get_reader

if TYPE_CHECKING:
    from pathlib import Path

CHANNELS = [
    Channel(name="DAPI", color="#0000FF", window=(0, 4000)),
    Channel(name="FITC", color="lime"),
]
T, Z, HEIGHT, WIDTH = 2, 3, 8, 12


def _write(path: Path, positions: list[Position] | None = None, **more: Any) -> np.ndarray:
    """Write frames that all differ; return them in acquisition order (t, p, c, z, y, x)."""
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=T, scale=0.5, unit="second"),
            *([Dimension(name="p", coords=positions)] if positions else []),
            Dimension(name="c", coords=CHANNELS),
            Dimension(name="z", count=Z, scale=2, unit="micrometer"),
            Dimension(name="y", count=HEIGHT, scale=0.5, unit="micrometer"),
            Dimension(name="x", count=WIDTH, scale=0.5, unit="micrometer"),
        ],
        dtype="uint16",
        **more,
    )
    shape = (T, len(positions or [0]), 2, Z, HEIGHT, WIDTH)
    pixels = np.arange(1, 1 + np.prod(shape), dtype="uint16").reshape(shape)
    with create_stream(settings) as stream:
        for frame in pixels.reshape(-1, HEIGHT, WIDTH):
            stream.append(frame)
    return pixels


def _layers(path: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    reader = get_reader(str(path))
    assert reader is not None
    found = reader(str(path))
    assert {kind for _, _, kind in found} == {"image"}
    return {options["name"]: (data, options) for data, options, _ in found}


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_colors_names_scale_and_pixels(tmp_path: Path, name: str) -> None:
    pixels = _write(tmp_path / name)
    layers = _layers(tmp_path / name)
    assert list(layers) == ["DAPI", "FITC"]
    dapi, options = layers["DAPI"]
    assert dapi.shape == (T, Z, HEIGHT, WIDTH)
    np.testing.assert_array_equal(np.asarray(dapi), pixels[:, 0, 0])
    np.testing.assert_array_equal(dapi[1, 2, 2:5], pixels[1, 0, 0, 2, 2:5])
    assert (options["colormap"], layers["FITC"][1]["colormap"]) == ("#0000ff", "#00ff00")
    assert options["scale"] == [0.5, 2, 0.5, 0.5]
    assert options["axis_labels"] == ["t", "z", "y", "x"]
    assert options["units"] == ["second", "micrometer", "micrometer", "micrometer"]
    assert options["contrast_limits"] == (0, 4000)
    low, high = layers["FITC"][1]["contrast_limits"]
    assert pixels[:, 0, 1].min() <= low < high <= pixels[:, 0, 1].max()


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_positions_are_at_their_stage_coordinates(tmp_path: Path, name: str) -> None:
    """One layer per channel; the second position is 1 um below and 4 um right of the first one."""
    positions = [
        Position(name="A", x_coord=100, y_coord=50),
        Position(name="B", x_coord=104, y_coord=51),
    ]
    pixels = _write(tmp_path / name, positions)
    path = tmp_path / ("run" if name == "run.ome.tiff" else name)
    data, options = _layers(path)["DAPI"]
    assert options["translate"] == [0, 0, 50, 100]
    expected = np.zeros((HEIGHT + 2, WIDTH + 8), "uint16")
    expected[:HEIGHT, :WIDTH] = pixels[1, 0, 0, 2]
    expected[2:, 8:] = pixels[1, 1, 0, 2]
    np.testing.assert_array_equal(data[1, 2], expected)
    np.testing.assert_array_equal(data[1, 2, 1:6, 7:15], expected[1:6, 7:15])
    np.testing.assert_array_equal(data[1, 2, 4], expected[4])


def test_positions_far_apart_have_separate_layers(tmp_path: Path) -> None:
    positions = [
        Position(name="A", x_coord=0, y_coord=0),
        Position(name="B", x_coord=90_000, y_coord=60_000),
    ]
    pixels = _write(tmp_path / "run.ome.zarr", positions)
    layers = _layers(tmp_path / "run.ome.zarr")
    assert list(layers) == ["A DAPI", "B DAPI", "A FITC", "B FITC"]
    data, options = layers["B FITC"]
    assert options["translate"] == [0, 0, 60_000, 90_000]
    np.testing.assert_array_equal(data[0, 1], pixels[0, 1, 1, 1])


def test_positions_without_coordinates_are_side_by_side(tmp_path: Path) -> None:
    pixels = _write(tmp_path / "run.ome.zarr", [Position(name="A"), Position(name="B")])
    data, _ = _layers(tmp_path / "run.ome.zarr")["DAPI"]
    plane = data[0, 0]
    np.testing.assert_array_equal(plane[:, :WIDTH], pixels[0, 0, 0, 0])
    np.testing.assert_array_equal(plane[:, -WIDTH:], pixels[0, 1, 0, 0])
    assert plane.shape[1] > 2 * WIDTH


def test_plate_shows_all_fields_of_all_wells(tmp_path: Path) -> None:
    """Wells by row and column, two fields side by side in each."""
    positions = [
        Position(name=f"f{field}", plate_row=row, plate_column=column)
        for row, column in (("A", "2"), ("B", "10"), ("A", "10"))
        for field in range(2)
    ]
    plate = Plate(name="cells", row_names=["A", "B"], column_names=[str(n) for n in range(1, 13)])
    pixels = _write(tmp_path / "run.ome.zarr", positions, plate=plate)
    data, _ = _layers(tmp_path / "run.ome.zarr")["FITC"]
    plane = data[1, 0]
    top, left = (-(-n // 2) for n in plane.shape)
    quarters = {("A", "2"): plane[:top, :left], ("A", "10"): plane[:top, left:]}
    quarters |= {("B", "2"): plane[top:, :left], ("B", "10"): plane[top:, left:]}
    assert not quarters["B", "2"].any()
    for number, position in enumerate(positions):
        quarter = quarters[position.plate_row, position.plate_column]
        assert set(pixels[1, number, 1, 0].ravel()) <= set(quarter.ravel())


def test_large_mosaic_is_multiscale(tmp_path: Path) -> None:
    """The coarser levels have every second, fourth, ... pixel, so that napari never draws the whole plane."""
    settings = AcquisitionSettings(
        root_path=tmp_path / "tiles.ome.zarr",
        dimensions=[
            Dimension(
                name="p",
                coords=[
                    Position(name=f"{r}{c}", x_coord=c * 590, y_coord=r * 590)
                    for r in range(4)
                    for c in range(4)
                ],
            ),
            Dimension(name="y", count=600, scale=1, unit="micrometer"),
            Dimension(name="x", count=600, scale=1, unit="micrometer"),
        ],
        dtype="uint8",
    )
    frames = np.random.default_rng(0).integers(1, 255, (16, 600, 600), "uint8")
    with create_stream(settings) as stream:
        for frame in frames:
            stream.append(frame)
    (data, options), *_ = _layers(tmp_path / "tiles.ome.zarr").values()
    assert options["multiscale"]
    assert [level.shape for level in data] == [(2370, 2370), (1185, 1185)]
    np.testing.assert_array_equal(data[1][...], data[0][...][::2, ::2])
    np.testing.assert_array_equal(data[1][300:700, 100:130], data[0][600:1400, 200:260][::2, ::2])


@pytest.mark.parametrize("name", ["ngff-zarr-0.50.ome.zarr", "ome-zarr-py-0.21.ome.zarr"])
def test_stored_levels_are_the_levels_of_a_layer(repository: Path, name: str) -> None:
    path = repository / "tests/data" / name
    spec = ome_writers.read(path).images[0]
    for data, options in _layers(path).values():
        assert options["multiscale"]
        assert len(data) == len(spec.levels) == 2
        for level, stored in zip(data, spec.levels, strict=True):
            assert level.shape[-2:] == stored.shape[-2:]
            assert np.asarray(level).any()


def test_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "notes.ome.tif").write_text("not a TIFF")
    assert get_reader(str(tmp_path / "notes.ome.tif")) is None
    assert get_reader(str(tmp_path / "missing.zarr")) is None


def test_rgb(tmp_path: Path) -> None:
    settings = AcquisitionSettings(
        root_path=tmp_path / "rgb.ome.zarr",
        dimensions=[
            Dimension(name="t", count=2),
            Dimension(name="y", count=4),
            Dimension(name="x", count=5),
        ],
        dtype="uint8",
        rgb=True,
        format=OmeZarrFormat(),
    )
    frames = np.random.default_rng(0).integers(0, 255, (2, 4, 5, 3), "uint8")
    with create_stream(settings) as stream:
        for frame in frames:
            stream.append(frame)
    (data, options), *_ = _layers(tmp_path / "rgb.ome.zarr").values()
    assert options["rgb"]
    np.testing.assert_array_equal(np.asarray(data), frames)


def test_labels_are_over_their_image(tmp_path: Path) -> None:
    """With levels, colors and the place of each position; labels without z are the same in each plane."""
    positions = [
        Position(name="A", x_coord=100, y_coord=50),
        Position(name="B", x_coord=104, y_coord=51),
    ]
    path = tmp_path / "run.ome.zarr"
    masks = np.arange(T * 2 * Z * HEIGHT * WIDTH, dtype="uint32").reshape(T, 2, Z, HEIGHT, WIDTH)
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=T, scale=0.5, unit="second"),
            Dimension(name="p", coords=positions),
            Dimension(name="c", coords=CHANNELS),
            Dimension(name="z", count=Z, scale=2, unit="micrometer"),
            Dimension(name="y", count=HEIGHT, scale=0.5, unit="micrometer"),
            Dimension(name="x", count=WIDTH, scale=0.5, unit="micrometer"),
        ],
        dtype="uint16",
        pyramid={"levels": 1},
    )
    with create_stream(settings) as stream:
        cells = stream.derive("cells", colors={7: "#ff0000"})
        flat = stream.derive("flat", dimensions=["t", "p"])
        for frame in np.ones((T * 2 * 2 * Z, HEIGHT, WIDTH), "uint16"):
            stream.append(frame)
        for mask in masks.reshape(-1, HEIGHT, WIDTH):
            cells.append(mask)
        flat.append(masks[0, 1, 0], index={"t": 1, "p": 1})
    reader = get_reader(str(path))
    assert reader is not None
    found = reader(str(path))
    assert [kind for *_, kind in found] == ["image", "image", "labels", "labels"]
    (image, image_options, _), (data, options, _) = found[0], found[2]
    assert [level.shape for level in data] == [level.shape for level in image]
    for key in ("scale", "translate", "units", "axis_labels"):
        assert options[key] == image_options[key]
    assert options["name"] == "cells"
    assert options["colormap"][7] == (1, 0, 0, 1)
    expected = np.zeros((HEIGHT + 2, WIDTH + 8), "uint32")
    expected[:HEIGHT, :WIDTH] = masks[1, 0, 2]
    expected[2:, 8:] = masks[1, 1, 2]
    np.testing.assert_array_equal(data[0][1, 2], expected)
    np.testing.assert_array_equal(data[1][1, 2], expected[::2, ::2])
    np.testing.assert_array_equal(data[0][1, :, 1, 3:6], masks[1, 0, :, 1, 3:6])
    same, _, _ = found[3]
    for z in range(Z):
        np.testing.assert_array_equal(same[0][1, z, 2:, 8:], masks[0, 1, 0])
    assert not same[0][0].any()


def test_labels_of_some_images_with_the_axes_of_another_program(tmp_path: Path) -> None:
    """A channel axis of one, stored by zarr-python in one of two images that are far apart."""
    zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 needs Python 3.11")
    positions = [
        Position(name="A", x_coord=0, y_coord=0),
        Position(name="B", x_coord=90_000, y_coord=60_000),
    ]
    path = tmp_path / "run.ome.zarr"
    _write(path, positions)
    mask = np.arange(T * Z * HEIGHT * WIDTH, dtype="int16").reshape(T, 1, Z, HEIGHT, WIDTH)
    labels = zarr.open_group(path / "1", mode="r+").create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    axes = [{"name": n, "type": "space"} for n in "zyx"]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *axes]
    scale = [{"type": "scale", "scale": [0.5, 1, 2, 0.5, 0.5]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group = labels.create_group("nuclei")
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": levels}],
        "image-label": {},
    }
    group.create_array("0", data=mask)
    reader = get_reader(str(path))
    assert reader is not None
    (_, _, _, _, (none, _, _), (data, options, kind)) = reader(str(path))
    assert (options["name"], kind) == ("B nuclei", "labels")
    assert options["translate"] == [0, 0, 60_000, 90_000]
    np.testing.assert_array_equal(np.asarray(data), mask[:, 0])
    assert not np.asarray(none).any()
