"""Group hierarchy of image, collection and plate."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ome_writers import Dimension, Plate, Position
from ome_writers.formats import create_metadata, lay_out
from ome_writers.routing import resolve
from support.acquisitions import IMAGES, LAYOUTS, acquisition, contents


@pytest.mark.parametrize("layout", LAYOUTS)
def test_image_groups_of_each_layout(layout: str) -> None:
    """Image at the root, collection by number, plate by row, column and field (including grid cells)."""
    plan, laid = lay_out(resolve(acquisition(layout)))
    assert [image.key for image in plan.images] == IMAGES[layout]
    assert [image.array.key for image in plan.images] == [
        f"{image}/0".lstrip("/") for image in IMAGES[layout]
    ]
    assert laid.root == Path("out.ome.zarr")
    assert [Path(j).parent.as_posix() for j in laid.journals] == [i or "." for i in IMAGES[layout]]


def plate_groups(*places: tuple[str, str, str]) -> list[str]:
    """Return the groups of positions given as (name, row, column), on a plate with the wells A1 and A2."""
    dims = [
        Dimension(
            name="p", coords=[Position(name=n, plate_row=r, plate_column=c) for n, r, c in places]
        ),
        *acquisition("single").dimensions[-2:],
    ]
    plate = Plate(row_names=["A"], column_names=["1", "2"])
    plan, _ = lay_out(resolve(acquisition("plate", dimensions=dims, plate=plate)))
    return [image.key for image in plan.images]


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["fov0", "fov1"], ["fov0", "fov1"]),
        (["fov_0", "fov1", "é"], ["0", "fov1", "2"]),
        (["a", "A", "b"], ["0", "1", "b"]),  # one folder on Windows and macOS
        (["CON", "..", "x" * 300], ["0", "1", "2"]),
        (["1", "a b"], ["0", "1"]),  # the number of the second field is the name of the first
        (["7", "8"], ["7", "8"]),
    ],
)
def test_field_path_is_the_position_name_or_a_number(names: list[str], paths: list[str]) -> None:
    """Paths match the schema's ^[A-Za-z0-9]+$ and are unique in a well on all file systems."""
    assert plate_groups(*((name, "A", "1") for name in names)) == [f"A/1/{path}" for path in paths]


def test_field_numbers_restart_in_each_well() -> None:
    places = (("f_0", "A", "1"), ("f_0", "A", "2"), ("f_1", "A", "2"), ("g", "A", "1"))
    assert plate_groups(*places) == ["A/1/0", "A/2/0", "A/2/1", "A/1/g"]


@pytest.mark.filterwarnings("ignore:Some positions have row/column")
def test_wells_outside_the_plate_extend_it() -> None:
    dims = [
        Dimension(name="p", coords=[Position(name="f", plate_row="R 2", plate_column="../7")]),
        *acquisition("single").dimensions[-2:],
    ]
    plan = resolve(acquisition("plate", dimensions=dims))
    documents = contents(create_metadata(*lay_out(plan)).render())
    plate = documents["zarr.json"]["attributes"]["ome"]["plate"]
    assert [row["name"] for row in plate["rows"]] == ["A", "B", "R2"]
    assert [column["name"] for column in plate["columns"]] == ["1", "2", "7"]
    assert plate["wells"] == [{"path": "R2/7", "rowIndex": 2, "columnIndex": 2}]
    assert documents["R2/7/f/zarr.json"]["attributes"]["ome"]["multiscales"][0]["name"] == "f"


def test_render_1536_positions_in_less_than_a_second() -> None:
    """Three seconds on a busy machine."""
    dims = [
        Dimension(name="p", coords=[Position(name=f"pos{i}", x_coord=i) for i in range(1536)]),
        *acquisition("single").dimensions,
    ]
    plan = resolve(acquisition("collection", dimensions=dims))
    start = time.process_time()
    documents = create_metadata(*lay_out(plan))
    assert len(list(documents.render())) == 1536 + 3
    assert time.process_time() - start < 3


def test_grid_cell_name_has_position_row_and_column() -> None:
    for layout, names in (
        ("plate", ["left_0_0", "left_0_1", "right"]),
        ("collection", ["left", "right/.."]),
    ):
        plan = resolve(acquisition(layout))
        documents = contents(create_metadata(*lay_out(plan)).render())
        omes = [documents[f"{i}/zarr.json"]["attributes"]["ome"] for i in IMAGES[layout]]
        assert [ome["multiscales"][0]["name"] for ome in omes] == names
        assert [ome["omero"]["name"] for ome in omes] == names
