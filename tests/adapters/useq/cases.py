"""Table of sequences with the expected axes, worked out by hand."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import useq

T3 = {"interval": 0.01, "loops": 3}  # short, so that the table can be run on a camera
T4 = {"interval": 0.005, "loops": 4}
Z3 = {"range": 4, "step": 2}
Z5 = {"range": 4, "step": 1}
GRID = {"rows": 1, "columns": 2, "fov_width": 10, "fov_height": 10}
TALL = {"rows": 3, "columns": 1, "fov_width": 10, "fov_height": 10}
TWO = ["DAPI", "FITC"]
HERE = (10.0, 20.0, 30.0)
THERE = (100.0, 200.0, 40.0)
FLAT = {"config": "BF", "do_stack": False}
SELDOM = {"config": "Cy5", "acquire_every": 2}


def at(x: float, name: str | None = None, /, **own: Any) -> dict[str, Any]:
    """Return a position, with a sub-sequence if any plan is given."""
    position: dict[str, Any] = {"x": x, "y": 2 * x, "z": 3 * x, "name": name}
    return {**position, "sequence": own} if own else position


@dataclass(frozen=True)
class Case:
    """A sequence, the extents of its axes in acquisition order, and whether it is ragged.

    `hulls` are the extents (without p) of each position, where they differ.
    """

    name: str
    plans: dict[str, Any]
    sizes: dict[str, int | None]
    ragged: bool = False
    hulls: list[dict[str, int]] = field(default_factory=list)

    def sequence(self) -> useq.MDASequence:
        """Make the sequence, a new one each time."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # useq's own, about plans that override each other
            return useq.MDASequence(**self.plans)


def plate(wells: Any, **more: Any) -> useq.WellPlatePlan:
    """Plan some wells of a 96-well plate."""
    return useq.WellPlatePlan(plate=96, a1_center_xy=(0, 0), selected_wells=wells, **more)


_POINTS = {"num_points": 3, "random_seed": 7, "max_width": 90, "max_height": 90}
_EDGES = {"top": 20, "left": 0, "bottom": 0, "right": 20, "fov_width": 10, "fov_height": 10}
_FOCUS = {"autofocus_device_name": "Z", "autofocus_motor_offset": 5, "axes": ("p", "t")}

REGULAR = [
    Case("time", {"time_plan": T3}, {"t": 3}),
    Case("two phases", {"time_plan": [T3, {"interval": 0.02, "loops": 2}]}, {"t": 4}),
    Case("a duration", {"time_plan": {"interval": 0.02, "duration": 0.05}}, {"t": 3}),
    Case("channels", {"channels": TWO}, {"c": 2}),
    Case("a stack", {"z_plan": Z5}, {"z": 5}),
    Case("a stack downwards", {"z_plan": {**Z5, "go_up": False}}, {"z": 5}),
    Case("uneven planes", {"z_plan": {"relative": [0, 1, 5]}}, {"z": 3}),
    Case("absolute planes", {"z_plan": {"top": 9, "bottom": 5, "step": 2}}, {"z": 3}),
    Case(
        "all five",
        {
            "time_plan": T3,
            "channels": TWO,
            "z_plan": Z3,
            "stage_positions": [HERE, THERE],
            "grid_plan": GRID,
        },
        {"t": 3, "p": 4, "c": 2, "z": 3},
    ),
    Case(
        "position outermost",
        {"axis_order": "ptgcz", "time_plan": T3, "stage_positions": [HERE, THERE]},
        {"p": 2, "t": 3},
    ),
    Case(
        "everything backwards",
        {
            "axis_order": "zcgpt",
            "time_plan": T3,
            "channels": TWO,
            "z_plan": Z3,
            "stage_positions": [HERE, THERE],
            "grid_plan": GRID,
        },
        {"z": 3, "c": 2, "p": 4, "t": 3},
    ),
    Case("z before c", {"axis_order": "tpgzc", "channels": TWO, "z_plan": Z3}, {"z": 3, "c": 2}),
    Case("one position", {"stage_positions": [HERE], "channels": TWO}, {"p": 1, "c": 2}),
    Case("namesakes", {"stage_positions": [at(1, "a"), at(2, "a"), at(3)]}, {"p": 3}),
    Case("a grid", {"grid_plan": GRID, "channels": TWO}, {"p": 2, "c": 2}),
    Case("a grid of edges", {"grid_plan": _EDGES}, {"p": 4}),
    Case("edges win over a position", {"grid_plan": _EDGES, "stage_positions": [HERE]}, {"p": 4}),
    Case(
        "a polygon",
        {
            "grid_plan": {
                "vertices": [(0, 0), (20, 0), (10, 20)],
                "fov_width": 10,
                "fov_height": 10,
            }
        },
        {"p": 4},
    ),
    Case("random points", {"grid_plan": _POINTS}, {"p": 3}),
    Case(
        "random points at two positions",
        {"grid_plan": _POINTS, "stage_positions": [at(1, "a"), at(2)]},
        {"p": 6},
    ),
    Case(
        "unseeded random points",
        {"grid_plan": {**_POINTS, "random_seed": None}, "stage_positions": [HERE], "z_plan": Z3},
        {"p": 3, "z": 3},
    ),
    Case(
        "own grids",
        {"stage_positions": [at(1, "a", grid_plan=GRID), at(2, "b", grid_plan=TALL)]},
        {"p": 5},
    ),
    Case(
        "an own grid and none",
        {"stage_positions": [at(1, grid_plan=GRID), at(2)], "time_plan": T3},
        {"t": 3, "p": 3},
    ),
    Case(
        "an own grid and the common one",
        {"stage_positions": [at(1, grid_plan=TALL), at(2)], "grid_plan": GRID},
        {"p": 5},
    ),
    Case(
        "a grid apart from a single position",
        {
            "axis_order": "ptgcz",
            "stage_positions": [HERE],
            "grid_plan": GRID,
            "time_plan": T3,
        },
        {"t": 3, "p": 2},
    ),
    Case(
        "the same own plans everywhere",
        {"stage_positions": [at(1, time_plan=T3, z_plan=Z3), at(2, time_plan=T3, z_plan=Z3)]},
        {"p": 2, "t": 3, "z": 3},
    ),
    Case(
        "an autofocus", {"autofocus_plan": _FOCUS, "z_plan": Z3, "time_plan": T3}, {"t": 3, "z": 3}
    ),
    Case(
        "an own autofocus",
        {"stage_positions": [at(1, autofocus_plan=_FOCUS), at(2)], "z_plan": Z3, "channels": TWO},
        {"p": 2, "c": 2, "z": 3},
    ),
    Case(
        "shutter kept open",
        {"keep_shutter_open_across": ("z", "c"), "z_plan": Z3, "channels": TWO},
        {"c": 2, "z": 3},
    ),
    Case(
        "a channel that skips, without time",
        {"channels": [*TWO, SELDOM], "z_plan": Z3},
        {"c": 3, "z": 3},
    ),
    Case("a channel off the stack, without z", {"channels": [*TWO, FLAT]}, {"c": 3}),
    Case(
        "wells",
        {"stage_positions": plate(([0, 1, 7], [1, 1, 11])), "channels": TWO},
        {"p": 3, "c": 2},
    ),
    Case(
        "wells with grids",
        {"stage_positions": plate(([0, 1], [1, 1]), well_points_plan=TALL)},
        {"p": 6},
    ),
    Case(
        "wells with random points",
        {
            "stage_positions": plate(
                ([0, 1], [1, 1]), well_points_plan={"num_points": 2, "random_seed": 1}
            )
        },
        {"p": 4},
    ),
    Case(
        "wells and a grid",
        {"stage_positions": plate(([0, 1], [1, 1])), "grid_plan": GRID},
        {"p": 4},
    ),
    Case(
        "one plane of one channel",
        {"z_plan": {"relative": [3]}, "channels": ["BF"]},
        {"c": 1, "z": 1},
    ),
    Case(
        "axes that are not iterated",
        {"axis_order": "tc", "time_plan": T3, "channels": TWO, "z_plan": Z3},
        {"t": 3, "c": 2},
    ),
]

RAGGED = [
    Case(
        "a channel off the stack",
        {"channels": ["DAPI", FLAT], "z_plan": Z5},
        {"c": 2, "z": 5},
        True,
    ),
    Case(
        "a channel off the stack at positions",
        {
            "channels": [FLAT, "DAPI"],
            "z_plan": Z3,
            "stage_positions": [HERE, THERE],
            "time_plan": T3,
        },
        {"t": 3, "p": 2, "c": 2, "z": 3},
        True,
    ),
    Case("no channel stacks", {"channels": [FLAT], "z_plan": Z5}, {"c": 1, "z": 3}, True),
    Case(
        "a channel that skips",
        {"channels": ["DAPI", SELDOM], "time_plan": T4},
        {"t": 4, "c": 2},
        True,
    ),
    Case(
        "a channel that skips, with full stacks",
        {"channels": ["DAPI", SELDOM], "time_plan": T4, "z_plan": Z3},
        {"t": 4, "c": 2, "z": 3},
        True,
    ),
    Case("every channel skips", {"channels": [SELDOM], "time_plan": T4}, {"t": 3, "c": 1}, True),
    Case(
        "skips and leaves the stack",
        {
            "channels": ["DAPI", {**SELDOM, "do_stack": False}],
            "time_plan": T4,
            "z_plan": Z3,
            "axis_order": "tpgzc",
        },
        {"t": 4, "z": 3, "c": 2},
        True,
    ),
    Case(
        "a stack at one position",
        {"stage_positions": [at(1, "a", z_plan=Z3), at(2, "b")], "channels": TWO},
        {"p": 2, "c": 2, "z": 3},
        True,
        hulls=[{"c": 2, "z": 3}, {"c": 2, "z": 1}],
    ),
    Case(
        "a deeper stack at one position",
        {"stage_positions": [at(1), at(2, z_plan=Z5)], "z_plan": Z3, "time_plan": T3},
        {"t": 3, "p": 2, "z": 5},
        True,
        hulls=[{"t": 3, "z": 3}, {"t": 3, "z": 5}],
    ),
    Case(
        "a time-lapse at one position",
        {"stage_positions": [at(1, time_plan=T4), at(2)], "channels": TWO},
        {"p": 2, "c": 2, "t": 4},
        True,
        hulls=[{"t": 4, "c": 2}, {"t": 1, "c": 2}],
    ),
    Case(
        "another channel at one position",
        {"stage_positions": [at(1), at(2, channels=["Cy5"])], "channels": TWO},
        {"p": 2, "c": 3},
        True,
        hulls=[{"c": 2}, {"c": 3}],
    ),
    Case(
        "the channels the other way round",
        {"stage_positions": [at(1), at(2, channels=["FITC", "DAPI"])], "channels": TWO},
        {"p": 2, "c": 2},
        True,
    ),
    Case(
        "own channels everywhere",
        {"stage_positions": [at(1, channels=["A"]), at(2, channels=["B", "C"])], "channels": TWO},
        {"p": 2, "c": 3},
        True,
        hulls=[{"c": 1}, {"c": 3}],
    ),
    Case(
        "own channels with an own stack",
        {
            "stage_positions": [at(1), at(2, channels=["Cy5", FLAT], z_plan=Z5)],
            "channels": TWO,
            "z_plan": Z3,
        },
        {"p": 2, "c": 4, "z": 5},
        True,
    ),
    Case(
        "a stackless channel and an own stack",
        {"stage_positions": [at(1), at(2, z_plan=Z5)], "channels": ["DAPI", FLAT], "z_plan": Z3},
        {"p": 2, "c": 2, "z": 5},
        True,
        hulls=[{"c": 2, "z": 3}, {"c": 1, "z": 5}],
    ),
    Case(
        # The position's grid is iterated within each channel, the others' outside.
        "an own grid under channels",
        {"stage_positions": [at(1, grid_plan=GRID), at(2)], "channels": TWO, "time_plan": T3},
        {"t": 3, "p": 3, "c": 2},
        True,
    ),
    Case(
        "an own grid with an own stack",
        {"stage_positions": [at(1, grid_plan=GRID, z_plan=Z3), at(2)], "channels": TWO},
        {"p": 3, "c": 2, "z": 3},
        True,
        hulls=[{"c": 2, "z": 3}, {"c": 2, "z": 3}, {"c": 2, "z": 1}],
    ),
    Case(
        "an own grid, iterated in another order",
        {
            "stage_positions": [
                {**at(1), "sequence": {"axis_order": "tczgp", "grid_plan": GRID, "z_plan": Z3}},
                at(2),
            ]
        },
        {"p": 3, "z": 3},
        True,
    ),
    Case(
        "a grid apart from its positions",
        {
            "axis_order": "ptgcz",
            "stage_positions": [HERE, THERE],
            "grid_plan": GRID,
            "time_plan": T3,
        },
        {"p": 4, "t": 3},
        True,
    ),
    Case(
        "a grid far outside its positions",
        {
            "axis_order": "gtcpz",
            "stage_positions": [HERE, THERE],
            "grid_plan": GRID,
            "channels": TWO,
            "z_plan": Z3,
        },
        {"p": 4, "c": 2, "z": 3},
        True,
    ),
    Case(
        "a grid outside, one position without",
        {
            "axis_order": "tgpcz",
            "stage_positions": [at(1), at(2, grid_plan=TALL)],
            "grid_plan": GRID,
        },
        {"p": 5},
    ),
    Case(
        "a grid outside its positions with own grids, apart",
        {
            "axis_order": "gtpcz",
            "time_plan": T3,
            "stage_positions": [at(1), at(2, grid_plan=TALL)],
            "grid_plan": GRID,
        },
        {"p": 5, "t": 3},
        True,
    ),
    Case(
        "wells and a grid, apart",
        {
            "axis_order": "pcgz",
            "channels": TWO,
            "stage_positions": plate(([0, 1], [1, 1])),
            "grid_plan": GRID,
        },
        {"p": 4, "c": 2},
        True,
    ),
    Case(
        "wells and a channel off the stack",
        {"stage_positions": plate(([0, 1], [1, 1])), "channels": ["DAPI", FLAT], "z_plan": Z3},
        {"p": 2, "c": 2, "z": 3},
        True,
    ),
    Case(
        "an empty own sequence",
        {"stage_positions": [{**at(1), "sequence": {}}, at(2)], "channels": TWO},
        {"p": 2, "c": 2},
        True,
        hulls=[{"c": 1}, {"c": 2}],
    ),
    Case(
        "an own sequence that acquires nothing",
        {
            "stage_positions": [at(1, "a", z_plan={"relative": []}), at(2, "b")],
            "channels": TWO,
        },
        {"p": 1, "c": 2},
    ),
    Case(
        "an autofocus between ragged frames",
        {
            "autofocus_plan": _FOCUS,
            "channels": ["DAPI", FLAT],
            "z_plan": Z3,
            "stage_positions": [HERE, at(2, z_plan=Z5)],
            "time_plan": T3,
        },
        {"t": 3, "p": 2, "c": 2, "z": 5},
        True,
    ),
    Case(
        "the shutter kept open over a ragged stack",
        {"keep_shutter_open_across": ("z",), "channels": ["DAPI", FLAT], "z_plan": Z3},
        {"c": 2, "z": 3},
        True,
    ),
    Case(
        "a time-lapse within a time-lapse",
        {"stage_positions": [at(1, time_plan=T4), at(2)], "time_plan": T3},
        {"t": 12, "p": 2},
        True,
        hulls=[{"t": 12}, {"t": 3}],
    ),
    Case(
        "an own autofocus and an own stack under a stack",
        {"stage_positions": [at(1, autofocus_plan=_FOCUS, z_plan=Z5), at(2)], "z_plan": Z3},
        {"t": 3, "p": 2, "z": 5},
        True,
        hulls=[{"t": 3, "z": 5}, {"t": 1, "z": 3}],
    ),
    Case(
        "two groups, one config, own channels",
        {
            "channels": ["DAPI", {"config": "DAPI", "group": "Laser"}],
            "stage_positions": [at(1), at(2, channels=[{"config": "DAPI", "group": "Laser"}])],
        },
        {"p": 2, "c": 2},
        True,
    ),
]

CASES = [*REGULAR, *RAGGED]
