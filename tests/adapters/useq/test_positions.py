"""Names, grid tiles and coordinates of positions, and plates."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import useq

from adapters.useq.cases import GRID, TALL, TWO, at, plate
from ome_writers import Plate, Position
from ome_writers_useq import build_positions, plate_from_useq, useq_to_acquisition_settings

POINTS = {"num_points": 2, "random_seed": 7, "max_width": 90, "max_height": 90}
EDGES = {"top": 20, "left": 0, "bottom": 10, "right": 20, "fov_width": 10, "fov_height": 10}


def positions(stage: Any = (), **plans: Any) -> list[Position]:
    """Return the positions of a sequence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # useq's own, about a grid that wins over a position
        seq = useq.MDASequence(stage_positions=stage, **plans)
    found = useq_to_acquisition_settings(seq, 8, 8)
    assert [dim.coords for dim in found["dimensions"] if dim.name == "p"] == [build_positions(seq)]
    return build_positions(seq)


def places(found: list[Position]) -> list[tuple[Any, ...]]:
    """Return what tells positions apart."""
    return [(p.name, p.grid_row, p.grid_column, p.x_coord, p.y_coord, p.z_coord) for p in found]


def wells(found: list[Position]) -> list[str]:
    """Return well and name of each position."""
    return [f"{p.plate_row}{p.plate_column}/{p.name}" for p in found]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([None, None], ["0", "1"]),
        (["a", None, "b"], ["a", "1", "b"]),
        (["a", "a", "a"], ["a", "a_1", "a_2"]),
        (["a", "a", "a_1"], ["a", "a_2", "a_1"]),
        (["1", None, ""], ["1", "1_1", "2"]),
    ],
)
def test_position_names(names: list[str | None], expected: list[str]) -> None:
    """A position without a name gets its index; equal names are made unique."""
    found = positions([at(i, name) for i, name in enumerate(names)])
    assert [position.name for position in found] == expected


def test_missing_coordinates_stay_missing() -> None:
    found = positions([{"x": 1}, {"y": 2}, {"z": 3}])
    assert [p[3:] for p in places(found)] == [(1, None, None), (None, 2, None), (None, None, 3)]


def test_relative_grid_points_are_added_to_the_position() -> None:
    """A tile has the name of its position, row and column, and absolute coordinates."""
    assert places(positions([at(100, "a"), at(200)], grid_plan=GRID)) == [
        ("a", 0, 0, 95, 200, 300),
        ("a", 0, 1, 105, 200, 300),
        ("1", 0, 0, 195, 400, 600),
        ("1", 0, 1, 205, 400, 600),
    ]


def test_grid_outside_positions() -> None:
    """If g is iterated outside p, it is the outer part of the position axis."""
    found = positions([at(100, "a"), at(200)], grid_plan=GRID, axis_order="tgpcz")
    assert [p[:3] for p in places(found)] == [("a", 0, 0), ("1", 0, 0), ("a", 0, 1), ("1", 0, 1)]


def test_tiles_of_positions_with_equal_names() -> None:
    found = positions([at(1, "a"), at(2, "a")], grid_plan=GRID)
    assert [p.name for p in found] == ["a", "a", "a_1", "a_1"]


def test_positions_with_grid_indices_may_share_a_name() -> None:
    stage = [{"name": "a", "grid_row": 0, "grid_col": i, "x": i} for i in range(2)]
    assert [p[:3] for p in places(positions(stage))] == [("a", 0, 0), ("a", 0, 1)]


def test_grid_without_positions() -> None:
    """Tiles are named by number."""
    assert places(positions(grid_plan=GRID)) == [
        ("0000", 0, 0, -5, 0, None),
        ("0001", 0, 1, 5, 0, None),
    ]


def test_absolute_grid_overrides_the_position() -> None:
    """Only z of the position is used."""
    assert places(positions([at(7, "a")], grid_plan=EDGES)) == [
        ("a", 0, 0, 5, 15, 21),
        ("a", 0, 1, 15, 15, 21),
    ]


def test_grid_of_a_position_replaces_the_common_grid() -> None:
    found = positions([at(1, "a", grid_plan=TALL), at(2, "b")], grid_plan=GRID)
    assert [p[:3] for p in places(found)] == [
        ("a", 0, 0),
        ("a", 1, 0),
        ("a", 2, 0),
        ("b", 0, 0),
        ("b", 0, 1),
    ]


def test_random_point_names() -> None:
    """Numbered within their position, and with the position index if there are several."""
    assert [p.name for p in positions(grid_plan=POINTS)] == ["0000", "0001"]
    assert [p.name for p in positions([at(1, "a")], grid_plan=POINTS)] == ["a_g0000", "a_g0001"]
    assert [p.name for p in positions([at(1, "a"), at(2)], grid_plan=POINTS)] == [
        "a_p0000_g0000",
        "a_p0000_g0001",
        "1_p0001_g0000",
        "1_p0001_g0001",
    ]
    same = positions([at(1, "a"), at(2, "a")], grid_plan=POINTS)
    assert [p.name for p in same[1:3]] == ["a_p0000_g0001", "a_p0001_g0000"]
    assert [p.name for p in positions([at(1, "a", grid_plan=POINTS), at(2)])] == [
        "a_p0000_g0000",
        "a_p0000_g0001",
        "1",
    ]


def test_grid_has_the_name_of_the_only_position_that_is_not_iterated() -> None:
    """Its coordinates are not used: useq does not move the stage to it."""
    fields = {"axis_order": "gc", "channels": ["BF"]}
    points = positions([at(900, "a")], grid_plan=POINTS, **fields)
    assert [p.name for p in points] == ["a_g0000", "a_g0001"]
    assert max(p.x_coord or 0 for p in points) < 100
    assert {p.name for p in positions([at(1, "a")], grid_plan=GRID, **fields)} == {"a"}
    assert positions([at(1)], grid_plan=POINTS, **fields)[1].name == "0001"
    two = positions([at(1, "a"), at(2, "b")], grid_plan=POINTS, **fields)
    assert [p.name for p in two] == ["0000", "0001"]


def test_sequence_without_positions() -> None:
    assert build_positions(useq.MDASequence(channels=TWO)) == []
    assert build_positions(useq.MDASequence()) == []
    assert plate_from_useq(useq.MDASequence()) is None


# ---------------------------------------------------------------- plates


def test_plate_has_all_rows_and_columns() -> None:
    seq = useq.MDASequence(stage_positions=plate(([0, 7], [1, 11])))
    found = useq_to_acquisition_settings(seq, 8, 8)["plate"]
    assert found == plate_from_useq(seq)
    assert found is not None
    assert (found.row_names, found.name) == (list("ABCDEFGH"), "96-well")
    assert found.column_names == [str(number) for number in range(1, 13)]


def test_fields_of_view_are_numbered_within_the_well() -> None:
    """One field of view per well, at the well's stage coordinates."""
    found = positions(plate(([0, 7], [1, 11])))
    assert wells(found) == ["A2/fov0", "H12/fov0"]
    assert [(p.x_coord, p.y_coord) for p in found] == [(9000, 0), (99000, -63000)]


def test_grid_in_each_well() -> None:
    found = positions(plate(([0, 1], [1, 1]), well_points_plan=TALL))
    assert wells(found)[:4] == ["A2/fov0", "A2/fov1", "A2/fov2", "B2/fov0"]
    assert [(p.grid_row, p.grid_column) for p in found] == [(0, 0), (1, 0), (2, 0)] * 2
    assert [p.y_coord for p in found[:3]] == [10, 0, -10]


def test_random_points_in_each_well() -> None:
    found = positions(plate(([0, 1], [1, 1]), well_points_plan={"num_points": 2, "random_seed": 3}))
    assert wells(found) == ["A2/fov0", "A2/fov1", "B2/fov0", "B2/fov1"]
    assert {p.grid_row for p in found} == {None}


@pytest.mark.parametrize(("order", "tile"), [("tpgcz", (0, 1)), ("tgpcz", (0, 0))])
def test_grid_plan_on_a_plate(order: str, tile: tuple[int, int]) -> None:
    found = positions(plate(([0, 1], [1, 1])), grid_plan=GRID, axis_order=order)
    assert sorted(wells(found)) == ["A2/fov0", "A2/fov1", "B2/fov0", "B2/fov1"]
    assert (found[1].grid_row, found[1].grid_column) == tile


def test_grid_plan_on_grids_in_wells() -> None:
    """Row and column of nested tiles are ambiguous and omitted."""
    found = positions(plate(([0], [1]), well_points_plan=TALL), grid_plan=GRID)
    assert wells(found) == [f"A2/fov{number}" for number in range(6)]
    assert {p.grid_row for p in found} == {None}


def test_well_selected_twice() -> None:
    """The fields of view have unique names."""
    assert wells(positions(plate(([0, 0], [1, 1])))) == ["A2/fov0", "A2/fov1"]


def test_plate_rows_after_z() -> None:
    """The rows of a 1536-well plate continue with AA, in the plate and in its positions."""
    plan = useq.WellPlatePlan(
        plate=1536, a1_center_xy=(0, 0), selected_wells=([25, 26, 31], [0, 1, 47])
    )
    seq = useq.MDASequence(stage_positions=plan)
    found = useq_to_acquisition_settings(seq, 8, 8)
    assert wells(build_positions(seq)) == ["Z1/fov0", "AA2/fov0", "AF48/fov0"]
    assert found["plate"] is not None
    assert found["plate"].row_names[24:] == ["Y", "Z", "AA", "AB", "AC", "AD", "AE", "AF"]
    assert found["plate"].row_names == Plate.from_standard_wells(1536).row_names


def test_positions_with_wells_define_a_plate() -> None:
    stage = [
        {**at(1, "here"), "plate_row": 0, "plate_col": 1},
        {**at(2), "plate_row": 2, "plate_col": 0},
        {**at(3, "here"), "plate_row": 2, "plate_col": 0},
    ]
    assert wells(positions(stage)) == ["A2/here", "C1/1", "C1/here"]
    found = plate_from_useq(useq.MDASequence(stage_positions=stage))
    assert found == Plate(row_names=["A", "B", "C"], column_names=["1", "2"])


def test_position_without_well_prevents_a_plate() -> None:
    """Positions with and without a well are accepted as a list of positions."""
    stage = [{**at(1), "plate_row": 0, "plate_col": 1}, at(2)]
    found = useq_to_acquisition_settings(useq.MDASequence(stage_positions=stage), 8, 8)
    assert found["plate"] is None


def test_plate_that_is_not_iterated_is_ignored() -> None:
    """``axis_order`` does not contain p."""
    seq = useq.MDASequence(stage_positions=plate(([0], [1])), axis_order="c", channels=TWO)
    found = useq_to_acquisition_settings(seq, 8, 8)
    assert found["plate"] is None
    assert [dim.name for dim in found["dimensions"]] == ["c", "y", "x"]
