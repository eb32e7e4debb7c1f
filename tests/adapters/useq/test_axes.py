"""Dimensions of a sequence: time, z, channels, pixel size and chunks."""

from __future__ import annotations

from typing import Any

import pytest
import useq

from adapters.useq.cases import FLAT, T3, T4, TWO, Z3, Z5, at
from ome_writers import Dimension
from ome_writers_useq import EventIndexMap, dims_from_useq, useq_to_acquisition_settings


def dimension(axis: str, /, *, arguments: dict[str, Any] | None = None, **plans: Any) -> Dimension:
    """Convert a sequence and return one of its dimensions."""
    found = useq_to_acquisition_settings(useq.MDASequence(**plans), 32, 16, **(arguments or {}))
    return next(dim for dim in found["dimensions"] if dim.name == axis)


@pytest.mark.parametrize(
    ("plan", "count", "scale", "coords"),
    [
        ({"interval": 0.1, "loops": 3}, 3, 0.1, None),
        ({"interval": 2, "duration": 5}, 3, 2.0, None),
        ({"duration": 4, "loops": 3}, 3, 2.0, None),
        ({"interval": 2, "loops": 1}, 1, 2.0, None),
        ({"interval": 0, "loops": 3}, 3, None, None),
        ([{"interval": 2, "loops": 3}, {"interval": 2, "loops": 3}], 5, 2.0, None),
        ([{"interval": 2, "loops": 3}, {"interval": 5, "loops": 2}], 4, None, [0, 2, 4, 9]),
        (
            [{"interval": 2, "loops": 2}, {"interval": 9, "loops": 1}, {"interval": 1, "loops": 3}],
            4,
            None,
            [0, 2, 3, 4],
        ),
        ([{"interval": 0, "loops": 2}, {"interval": 1, "loops": 2}], 3, None, [0, 0, 1]),
        ([{"interval": 0, "loops": 2}, {"interval": 0, "loops": 2}], 3, None, None),
        ({"interval": 0, "duration": 9}, None, None, None),
        ([{"interval": 1, "loops": 2}, {"interval": 0, "duration": 9}], None, None, None),
    ],
)
def test_time_dimension(plan: Any, count: int | None, scale: float | None, coords: Any) -> None:
    """The interval is the scale, coords are the planned times if it varies, and an unbounded plan has no count."""
    dim = dimension("t", time_plan=plan)
    assert (dim.type, dim.unit) == ("time", "second")
    assert (dim.count, dim.scale, dim.coords) == (count, scale, coords)


@pytest.mark.parametrize(
    "plan",
    [
        T3,
        {"duration": 4, "loops": 3},
        [T3, {"interval": 5, "loops": 2}, {"interval": 1, "loops": 1}],
    ],
)
def test_planned_times_match_event_start_times(plan: Any) -> None:
    dim = dimension("t", time_plan=plan)
    times = dim.coords or [i * (dim.scale or 0) for i in range(dim.count or 0)]
    assert times == [event.min_start_time for event in useq.MDASequence(time_plan=plan)]


@pytest.mark.parametrize(
    ("plan", "scale", "coords"),
    [
        ({"range": 4, "step": 2}, 2, [-2, 0, 2]),
        ({"range": 4, "step": 2, "go_up": False}, 2, [2, 0, -2]),
        ({"top": 9, "bottom": 5, "step": 2}, 2, [5, 7, 9]),
        ({"above": 4, "below": 2, "step": 2}, 2, [-2, 0, 2, 4]),
        ({"relative": [0, 2, 4]}, 2, [0, 2, 4]),
        ({"relative": [0, 1, 5]}, None, [0, 1, 5]),
        ({"absolute": [7, 5, 3]}, 2, [7, 5, 3]),
        ({"relative": [3]}, None, [3]),
        ({"range": 0, "step": 0.5}, 0.5, [0]),
        ({"range": 4, "step": 0}, None, [-2]),
        ({"relative": [1, 1, 1]}, None, [1, 1, 1]),
    ],
)
def test_z_dimension(plan: dict[str, Any], scale: float | None, coords: list[float]) -> None:
    """The step is the scale and the planned values are the coords, in descending order for ``go_up=False``."""
    dim = dimension("z", z_plan=plan)
    assert (dim.type, dim.unit, dim.count) == ("space", "micrometer", len(coords))
    assert (dim.scale, dim.coords) == (scale, coords)
    assert dim.translation == coords[0], "without positions, the translation is the first z value"


@pytest.mark.parametrize(
    ("plan", "stages", "begin"),
    [
        # In a relative plan, the offset from the position's z.
        ({"range": 4, "step": 2}, [10.0], -2),
        ({"range": 4, "step": 2}, [10.0, 50.0], -2),
        # In an absolute plan the first plane is fixed, so the position's z is subtracted.
        ({"absolute": [7, 9]}, [10.0, 10.0], -3),
        ({"absolute": [7, 9]}, [None], 7),
        ({"absolute": [7, 9]}, [10.0, 50.0], None),
    ],
)
def test_z_translation(plan: Any, stages: list[float | None], begin: float | None) -> None:
    """The translation is the offset of the first plane from the position's z."""
    positions = [{"x": 0, "y": 0, "z": z, "name": str(n)} for n, z in enumerate(stages)]
    dim = dimension("z", z_plan=plan, stage_positions=positions)
    assert dim.translation == begin


@pytest.mark.parametrize(
    "plans",
    [
        {"z_plan": {"absolute": [7, 9]}, "stage_positions": [(1, 1, 10), (2, 2, 50), (3, 3)]},
        {"z_plan": Z3, "stage_positions": [(1, 1, 10), at(2, z_plan={"relative": [1, 2]})]},
        {"stage_positions": [(1, 1, 10), at(2, z_plan=Z3)]},
        {"z_plan": {"absolute": [7, 9]}, "stage_positions": [(1, 1, 9), at(2, z_plan=Z3)]},
        {"z_plan": Z3, "stage_positions": [(1, 1), (2, 2, 5)]},
    ],
)
def test_position_and_translation_give_z_of_first_plane(plans: dict[str, Any]) -> None:
    seq = useq.MDASequence(**plans)
    found = {dim.name: dim for dim in useq_to_acquisition_settings(seq, 8, 8)["dimensions"]}
    first_planes = {e.index["p"]: e.z_pos for e in seq if e.index.get("z", 0) == 0}
    for p, position in enumerate(found["p"].coords):
        assert (position.z_coord or 0) + (found["z"].translation or 0) == first_planes[p]


@pytest.mark.parametrize(
    ("plans", "scale", "coords"),
    [
        # The longer plan begins like the shorter one.
        ([{"relative": [0, 1]}, {"relative": [0, 1, 2]}], 1, [0, 1, 2]),
        # The same step from another start.
        ([{"range": 2, "step": 1}, {"range": 4, "step": 1}], 1, None),
        # The same step in the other direction is another step.
        ([{"range": 2, "step": 1}, {"range": 2, "step": 1, "go_up": False}], None, None),
        ([{"range": 2, "step": 1}, {"range": 4, "step": 2}], None, None),
    ],
)
def test_z_dimension_of_different_sub_sequences(
    plans: list[Any], scale: float | None, coords: Any
) -> None:
    """The axis has what the plans of all positions share."""
    positions = [at(i, z_plan=plan) for i, plan in enumerate(plans)]
    dim = dimension("z", stage_positions=positions)
    assert (dim.scale, dim.coords) == (scale, coords)
    depths = EventIndexMap(useq.MDASequence(stage_positions=positions)).depths
    for number, position in enumerate(positions):
        planned = list(useq.MDASequence(**position["sequence"]).z_plan or ())
        assert depths(number).tolist() == planned


def test_z_plan_overridden_at_all_positions_is_ignored() -> None:
    dim = dimension("z", stage_positions=[at(1, z_plan={"range": 2, "step": 0.5})], z_plan=Z3)
    assert dim.scale == 0.5


def test_depths_without_positions_or_z_plan() -> None:
    assert EventIndexMap(useq.MDASequence(z_plan=Z3)).depths(0).tolist() == [-2, 0, 2]
    assert EventIndexMap(useq.MDASequence(channels=TWO)).depths(0).tolist() == []


def test_axes_end_at_last_acquired_index() -> None:
    dim = dimension("z", z_plan=Z5, channels=[FLAT])
    assert (dim.count, dim.coords) == (3, [-2, -1, 0])
    phases = [{"interval": 1, "loops": 2}, {"interval": 5, "loops": 3}]
    dim = dimension("t", time_plan=phases, channels=[{"config": "A", "acquire_every": 2}])
    assert (dim.count, dim.coords) == (3, [0, 1, 6])


def test_channel_group_exposure_and_camera() -> None:
    channel = {"config": "DAPI", "group": "Laser", "exposure": 12.5, "camera": "Left"}
    (found,) = dimension("c", channels=[channel]).coords or ()
    assert found.name == "DAPI"  # type: ignore[union-attr]  # a Channel
    assert (found.group, found.exposure_ms, found.camera) == ("Laser", 12.5, "Left")  # type: ignore[union-attr]  # the same


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        (["DAPI", {"config": "DAPI", "group": "Laser"}], ["DAPI", "DAPI (Laser)"]),
        (["DAPI", {"config": "DAPI", "exposure": 9}], ["DAPI", "DAPI (2)"]),
        (["DAPI", {"config": "DAPI", "camera": "Left"}], ["DAPI", "DAPI (Left)"]),
        (
            ["DAPI", {"config": "DAPI", "group": "Laser"}, {"config": "DAPI (Laser)"}, "DAPI"],
            ["DAPI", "DAPI (2)", "DAPI (Laser)", "DAPI (3)"],
        ),
    ],
)
def test_channels_of_same_config_have_unique_names(channels: list[Any], names: list[str]) -> None:
    found = dimension("c", channels=channels).coords or ()
    assert [channel.name for channel in found] == names  # type: ignore[union-attr]  # Channels


def test_positions_share_channels_of_same_config_group_and_camera() -> None:
    """The channels of the sequence are first."""
    laser = {"config": "FITC", "group": "Laser"}
    positions = [at(1, channels=["FITC", "Cy5"]), at(2, channels=[laser, "Cy5"]), at(3)]
    dim = dimension("c", channels=TWO, stage_positions=positions)
    found = [(channel.name, channel.group) for channel in dim.coords or ()]  # type: ignore[union-attr]  # Channels
    assert found == [
        ("DAPI", "Channel"),
        ("FITC", "Channel"),
        ("Cy5", "Channel"),
        ("FITC (Laser)", "Laser"),
    ]


@pytest.mark.parametrize(
    ("configs", "colour"),
    [
        (["DAPI", "Hoechst 33342", "dapi-quad", "BFP", "405"], "#0000ff"),
        (["FITC", "GFP", "eGFP_20x", "Alexa Fluor 488", "AF-488", "488nm"], "#00ff00"),
        (["CFP"], "#00ffff"),
        (["YFP"], "#ffff00"),
        (["Cy3", "Cy 3", "TRITC", "Rhodamine"], "#ff8000"),
        (["mCherry", "RFP", "Tx-Red", "Texas Red", "561"], "#ff0000"),
        (["Cy5", "Cy5.5", "Alexa647", "far red", "640"], "#ff00ff"),
        (["BF", "Bright-Field", "DIC", "Phase", "Trans"], "#ffffff"),
    ],
)
def test_colours_of_common_dyes(configs: list[str], colour: str) -> None:
    for config in configs:
        (found,) = dimension("c", channels=[config]).coords or ()
        assert found.color is not None, config  # type: ignore[union-attr]  # a Channel
        assert found.color.as_hex(format="long") == colour, config  # type: ignore[union-attr]  # the same


@pytest.mark.parametrize("config", ["Res", "Channel 1", "Fluo", "my dye", "cyclops", ""])
def test_unknown_channels_have_no_colour(config: str) -> None:
    """A channel with an empty config still has a name."""
    (found,) = dimension("c", channels=[{"config": config}]).coords or ()
    assert found.color is None  # type: ignore[union-attr]  # a Channel
    assert found.name  # type: ignore[union-attr]  # the same


def test_pixel_size() -> None:
    """0.0 and None mean unknown."""
    assert dimension("x", channels=TWO).scale is None
    assert dimension("x", channels=TWO, arguments={"pixel_size_um": 0.0}).scale is None
    dim = dimension("y", channels=TWO, arguments={"pixel_size_um": 0.5})
    assert (dim.count, dim.scale, dim.unit, dim.type) == (16, 0.5, "micrometer", "space")


def test_channel_scale_is_1() -> None:
    """The channel axis has scale 1.0, so that the scales of all axes of a stack can be multiplied."""
    assert dimension("c", channels=TWO).scale == 1.0


@pytest.mark.parametrize(
    ("axis", "user_unit", "scale", "unit"),
    [
        ("t", (3.0, "minute"), 3.0, "minute"),
        ("t", None, 0.01, "second"),
        ("z", (5.0, "nanometer"), 5.0, "nanometer"),
        ("z", (None, "micrometer"), None, "micrometer"),
        ("y", (0.2, "millimeter"), 0.2, "millimeter"),
        ("x", None, None, "micrometer"),
    ],
)
def test_units_override_the_plan(axis: str, user_unit: Any, scale: float | None, unit: str) -> None:
    dim = dimension(axis, time_plan=T3, z_plan=Z3, arguments={"units": {axis: user_unit}})
    assert (dim.scale, dim.unit) == (scale, unit)


def test_coords_only_with_default_unit() -> None:
    """Coords are seconds and micrometers: with another unit they are omitted."""
    phases = [T3, {"interval": 5, "loops": 2}]
    for axis, other in (("t", "minute"), ("z", "nanometer")):
        plans = {"time_plan": phases, "z_plan": Z3}
        assert dimension(axis, **plans).coords
        assert dimension(axis, **plans, arguments={"units": {axis: (1.0, other)}}).coords is None


def test_pixel_size_takes_precedence_over_units() -> None:
    arguments = {"units": {"x": (0.2, "millimeter")}, "pixel_size_um": 0.5}
    dim = dimension("x", channels=TWO, arguments=arguments)
    assert (dim.scale, dim.unit) == (0.5, "micrometer")


def test_chunks_and_shards() -> None:
    """Unknown axis names and the position axis are ignored."""
    arguments = {
        "chunk_shapes": {"z": 2, "x": 8, "t": 1, "p": 1, "q": 7},
        "shard_shapes": {"z": 3, "y": 2},
    }
    plans = {"time_plan": T3, "z_plan": Z3, "stage_positions": [at(1)]}
    found = useq_to_acquisition_settings(useq.MDASequence(**plans), 32, 16, **arguments)
    chunks = {dim.name: (dim.chunk_size, dim.shard_size_chunks) for dim in found["dimensions"]}
    assert chunks == {
        "t": (1, None),
        "p": (None, None),
        "z": (2, 3),
        "y": (None, 2),
        "x": (8, None),
    }


def test_dims_from_useq_is_deprecated() -> None:
    seq = useq.MDASequence(time_plan=T4, channels=TWO)
    with pytest.warns(DeprecationWarning, match="Use AcquisitionSettings"):
        dims = dims_from_useq(seq, 32, 16, pixel_size_um=0.5)
    found = useq_to_acquisition_settings(seq, 32, 16, pixel_size_um=0.5)
    assert dims == found["dimensions"]
