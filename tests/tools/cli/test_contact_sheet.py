"""Pictures that ``ome-writers preview`` draws: colors, display windows, scale bar, plates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    Plate,
    Position,
    create_stream,
    dims_from_standard_axes,
    read,
)
from ome_writers import (
    open as open_view,
)
from ome_writers_tools.cli import main
from ome_writers_tools.cli.contact_sheet import Sheet, SheetRow, draw_sheet
from ome_writers_tools.cli.dataset_sheet import sheet_of_dataset, shown_planes
from ome_writers_tools.cli.thumbnails import scale_bar

if TYPE_CHECKING:
    from pathlib import Path

image = pytest.importorskip("PIL.Image", reason="pillow draws the pictures")

CHANNELS = [
    Channel(name="DAPI", color="blue", window=(0, 200)),
    Channel(name="FITC", color="#ff8000", window=(0, 100)),
]


def write(path: Path, dimensions: list[Dimension], **more: Any) -> Path:
    """Write frames of 8 x 16 pixels whose value is 100 everywhere."""
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            *dimensions,
            Dimension(name="y", count=8, scale=0.5, unit="um"),
            Dimension(name="x", count=16, scale=0.5, unit="um"),
        ],
        dtype="uint8",
        **more,
    )
    with create_stream(settings) as stream:
        for _ in range(settings.num_frames or 0):
            stream.append(np.full((8, 16), 100, np.uint8))
    return path


def sheet(path: Path, max_rows: int = 99) -> Sheet:
    return sheet_of_dataset(read(path), open_view(path), max_rows=max_rows)


def color_of(picture: Any) -> tuple[int, ...]:
    """Return the only color of a picture."""
    colors = np.unique(picture.reshape(-1, 3), axis=0)
    assert len(colors) == 1
    return tuple(map(int, colors[0]))


def test_channels_have_their_colors_and_windows(tmp_path: Path) -> None:
    """With one time point, the columns are the composite and the channels."""
    path = write(tmp_path / "a.ome.zarr", [Dimension(name="c", coords=CHANNELS)])
    (row,) = sheet(path).rows
    assert [text for text, _ in sheet(path).columns] == ["composite", "DAPI", "FITC"]
    assert [color_of(picture) for picture in row.pictures] == [
        (255, 128, 127),
        (0, 0, 127),
        (255, 128, 0),
    ]


def test_rows_are_channels_of_positions(tmp_path: Path) -> None:
    """With several time points: a composite and each channel of every position, up to `max_rows`."""
    dimensions = [
        *dims_from_standard_axes({"t": 3, "p": ["left", "right"], "y": 8, "x": 8})[:2],
        Dimension(name="c", coords=CHANNELS),
    ]
    path = write(tmp_path / "a.ome.zarr", dimensions)
    labels = [(row.name, row.label[0]) for row in sheet(path).rows]
    names = ["composite", "DAPI", "FITC"]
    assert labels == [(position, name) for position in ("left", "right") for name in names]
    assert [text for text, _ in sheet(path).columns] == ["t = 0", "t = 1", "t = 2"]
    assert shown_planes(open_view(path)) == ""
    assert len(sheet(path, max_rows=4).rows) == 4


def test_time_in_seconds_and_the_plane_of_a_stack_are_named(tmp_path: Path) -> None:
    dimensions = [
        Dimension(name="t", count=2, scale=1.5, unit="second"),
        Dimension(name="z", count=5, scale=2, unit="micrometer", translation=-4),
    ]
    path = write(tmp_path / "a.ome.zarr", dimensions)
    assert [text for text, _ in sheet(path).columns] == ["t = 0 s", "t = 1.5 s"]
    assert shown_planes(open_view(path)) == "z = 0 um (3 of 5)"


def test_channels_without_colors_get_different_ones(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="writes the file")
    path = tmp_path / "theirs.ome.tif"
    pixels = np.stack([np.eye(16, dtype=np.uint16)] * 2)
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX"})
    (row,) = sheet(path).rows
    _, first, second = row.pictures
    assert first is not None
    assert second is not None
    assert tuple(first.max(axis=(0, 1))) == (90, 140, 255)
    assert tuple(second.max(axis=(0, 1))) == (60, 220, 90)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_rgb_keeps_its_colors(tmp_path: Path, suffix: str) -> None:
    dimensions = dims_from_standard_axes({"y": 8, "x": 16})
    path = tmp_path / f"rgb{suffix}"
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8", rgb=True)
    with create_stream(settings) as stream:
        stream.append(np.full((8, 16, 3), (200, 100, 50), np.uint8))
    (row,) = sheet(path).rows
    assert row.label[0] == "RGB"
    assert color_of(row.pictures[0]) == (200, 100, 50)


def test_plate_has_a_picture_per_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wells = [("A", "2"), ("B", "3")]
    fields = [
        Position(name=f"f{n}", plate_row=row, plate_column=column)
        for row, column in wells
        for n in range(2)
    ]
    path = write(
        tmp_path / "plate.ome.zarr",
        [Dimension(name="p", type="position", coords=fields), Dimension(name="c", coords=CHANNELS)],
        plate=Plate.from_standard_wells(6),
    )
    content = sheet(path)
    filled = [[picture is not None for picture in row.pictures] for row in content.rows]
    assert filled == [[False, True, False], [False, False, True]]
    assert [row.name for row in content.rows] == ["A", "B"]
    assert [text for text, _ in content.columns] == ["1", "2", "3"]
    assert [text for text, _ in content.legend] == [
        "DAPI",
        "FITC",
        "first field of view of each well",
    ]
    assert main(["preview", str(path), "--json"]) == 0
    drawn = json.loads(capsys.readouterr().out)
    assert (drawn["rows"], drawn["columns"]) == (2, 3)


def test_fields_of_view_are_named_with_their_wells(tmp_path: Path) -> None:
    wells = [Position(name="f0", plate_row="A", plate_column=str(n)) for n in (1, 2)]
    path = write(tmp_path / "a.ome.zarr", [Dimension(name="p", type="position", coords=wells)])
    assert [row.name for row in sheet(path).rows] == ["A1/f0", "A2/f0"]


def test_pictures_keep_the_aspect_ratio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.zarr", [Dimension(name="c", coords=CHANNELS)])
    picture = sheet(path).rows[0].pictures[0]
    assert picture is not None
    assert picture.shape == (128, 256, 3)


@pytest.mark.parametrize(
    ("pixel_size", "max_px", "length"), [(0.65, 100, 50), (0.1, 30, 2), (2, 100, 200), (1, 10, 10)]
)
def test_scale_bar_is_round_and_fits(pixel_size: float, max_px: float, length: float) -> None:
    found, pixels = scale_bar(pixel_size, max_px)
    assert found == pytest.approx(length)
    assert pixels == pytest.approx(length / pixel_size)
    assert pixels <= max_px + 1e-6


def test_scale_bar_is_drawn_where_the_pixel_size_is_known(tmp_path: Path) -> None:
    """The bar below a picture of 200 pixels at 0.5 µm is 50 µm long, 100 pixels."""
    row = SheetRow("a", ("", (0, 0, 0)), [np.zeros((200, 200, 3), np.uint8)])
    content = Sheet([row], [("t = 0", (0, 0, 0))], (), 1)
    widths = []
    for name, pixel_size in (("with", (0.5, "micrometer")), ("without", None)):
        draw_sheet(content, "", tmp_path / f"{name}.png", pixel_size=pixel_size)
        with image.open(tmp_path / f"{name}.png") as picture:
            bottom = np.asarray(picture)[58 + 206 + 12]
        widths.append(int((bottom == (238, 240, 244)).all(axis=-1)[:215].sum()))
    assert widths[0] >= 100
    assert widths[1] == 0


def test_sheet_is_as_wide_as_its_title(tmp_path: Path) -> None:
    row = SheetRow("a", ("b", (0, 0, 0)), [np.ones((4, 4, 3), np.uint8)])
    title = "a-rather-long-name.ome.zarr   p 6, c 2, y 512, x 512"
    draw_sheet(Sheet([row], [("t = 0", (0, 0, 0))], (), 1), title, tmp_path / "x.png")
    with image.open(tmp_path / "x.png") as picture:
        assert picture.width > 400
