"""Each frame is at the index of its event: table of sequences, generated sequences, and speed."""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from typing import Any

import pytest
import useq
from hypothesis import given, note, settings
from hypothesis import strategies as st

from adapters.useq.cases import CASES, FLAT, SELDOM, Z5, Case, at
from adapters.useq.oracle import check_places, image_events, places_of, sizes_of
from ome_writers import AcquisitionSettings, UnsupportedError
from ome_writers_useq import EventIndexMap, useq_to_acquisition_settings
from support.sweeps import SWEEPS


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """Return one case of the table."""
    return request.param  # type: ignore[no-any-return]  # untyped in pytest


def _convert(seq: useq.MDASequence) -> Any:
    return useq_to_acquisition_settings(seq, 32, 16)


def test_axes_and_extents(case: Case) -> None:
    found = _convert(case.sequence())
    assert list(sizes_of(found).items()) == list(case.sizes.items())
    assert [(dim.name, dim.count) for dim in found["dimensions"][-2:]] == [("y", 16), ("x", 32)]


def test_only_ragged_sequences_have_a_schedule(case: Case) -> None:
    found = _convert(case.sequence())
    assert ("schedule" in found) == case.ragged


def test_frame_index_matches_event_index(case: Case) -> None:
    """The n-th index of the settings is that of the n-th image event that useq creates."""
    seq = case.sequence()
    found = _convert(seq)  # before the first iteration, as a client does
    check_places(seq, found, image_events(seq))


def test_conversion_after_iteration_is_the_same(case: Case) -> None:
    seq = case.sequence()
    before = _convert(seq)
    events = image_events(seq)
    after = _convert(seq)
    assert after["dimensions"] == before["dimensions"]
    check_places(seq, after, events)


def test_event_places_match_settings(case: Case) -> None:
    """EventIndexMap returns the n-th index of the settings, and passes `cam` through."""
    seq = case.sequence()
    events = image_events(seq)
    place_of = EventIndexMap(seq)
    expected = places_of(_convert(seq), len(events))
    assert [place_of(event.index) for event in events] == expected
    assert place_of({**events[0].index, "cam": 1}) == {**expected[0], "cam": 1}


def test_acquisition_settings_accept_the_result(case: Case) -> None:
    found = _convert(case.sequence())
    taken = AcquisitionSettings(root_path="x.ome.zarr", dtype="uint16", **found)
    assert taken.shape == (*case.sizes.values(), 16, 32)
    again = AcquisitionSettings.model_validate({**taken.model_dump(), **found})
    assert again.schedule == taken.schedule == found.get("schedule")


@pytest.mark.parametrize("case", [case for case in CASES if case.hulls], ids=lambda case: case.name)
def test_extents_of_each_position(case: Case) -> None:
    found = _convert(case.sequence())
    frames = len(image_events(case.sequence()))
    places = places_of(found, frames)
    for number, hull in enumerate(case.hulls):
        there = [place for place in places if place["p"] == number]
        assert {axis: 1 + max(p[axis] for p in there) for axis in hull} == hull


def test_conversion_does_not_change_autofocus_state() -> None:
    """An autofocus plan remembers its last event; a conversion must not iterate it."""
    plans: dict[str, Any] = {"autofocus_plan": {"axes": ("p",)}, "channels": ["A", FLAT]}
    first, second = (
        useq.MDASequence(**plans, stage_positions=[(1, 2, 3)], z_plan=Z5) for _ in range(2)
    )
    useq_to_acquisition_settings(second, 8, 8)
    EventIndexMap(second)
    assert [e.action.type for e in first] == [e.action.type for e in second]
    assert first.model_dump(exclude={"uid"}) == second.model_dump(exclude={"uid"})


def test_conversion_does_not_cache_grid_points() -> None:
    """The field of view may be set after a conversion, and the events then use it."""
    seq = useq.MDASequence(grid_plan={"rows": 1, "columns": 2})
    useq_to_acquisition_settings(seq, 8, 8)
    assert seq.grid_plan is not None
    seq.grid_plan.fov_width = seq.grid_plan.fov_height = 50
    assert [event.x_pos for event in seq] == [-25, 25]


def test_conversion_uses_cached_grid_points() -> None:
    """After its first iteration, a sequence keeps its grid points."""
    seq = useq.MDASequence(grid_plan={"width": 20, "height": 10, "fov_width": 10, "fov_height": 10})
    assert seq.grid_plan is not None
    frames = len(list(seq))
    seq.grid_plan.fov_width = seq.grid_plan.fov_height = 2
    found = useq_to_acquisition_settings(seq, 8, 8)
    assert sizes_of(found) == {"p": frames}
    check_places(seq, found, list(seq))


@pytest.mark.parametrize("focus", [None, {"axes": ("p",)}])
def test_unseeded_random_points_are_drawn_once(focus: dict[str, Any] | None) -> None:
    """The settings have the points that the run will visit, also for a position's own grid."""
    seq = useq.MDASequence(
        autofocus_plan=focus,
        stage_positions=[at(1, grid_plan={"num_points": 3, "max_width": 90, "max_height": 90})],
    )
    found = useq_to_acquisition_settings(seq, 8, 8)
    check_places(seq, found, image_events(seq))


class Backwards(useq.MDASequence):
    """A sequence with a custom order of events."""

    def iter_events(self) -> Any:
        """Iterate in reverse."""
        return reversed(list(super().iter_events()))


def test_subclass_with_custom_order_is_iterated() -> None:
    seq = Backwards(
        autofocus_plan={"axes": ("p",)},
        stage_positions=[(1, 2), at(2, z_plan=Z5)],
        channels=["DAPI", "FITC"],
    )
    found = useq_to_acquisition_settings(seq, 8, 8)
    assert "schedule" in found
    check_places(seq, found, image_events(seq))


def test_unbounded_sequence_repeats_its_cycle() -> None:
    """The time axis is unbounded; skipped channels result in a schedule of one cycle."""
    endless = {"interval": 0, "duration": 1}
    found = useq_to_acquisition_settings(
        useq.MDASequence(time_plan=endless, channels=["DAPI", SELDOM]), 8, 8
    )
    assert sizes_of(found) == {"t": None, "c": 2}
    # The bounded equivalent, which useq can iterate.
    seq = useq.MDASequence(time_plan={"interval": 1, "loops": 9}, channels=["DAPI", SELDOM])
    events = list(seq)
    assert places_of(found, len(events)) == places_of(
        useq_to_acquisition_settings(seq, 8, 8), len(events)
    )


def test_unbounded_time_axis_is_first() -> None:
    """An enclosing axis with a single item is moved inside the unbounded time axis."""
    seq = useq.MDASequence(
        axis_order="ctz", time_plan={"interval": 0, "duration": 1}, channels=["A"], z_plan=Z5
    )
    found = useq_to_acquisition_settings(seq, 8, 8)
    assert list(sizes_of(found).items()) == [("t", None), ("c", 1), ("z", 5)]
    assert "schedule" not in found


# ---------------------------------------------------------------- generated sequences

_names = st.sampled_from(["DAPI", "FITC", "Cy5"])
_channels = st.lists(
    st.builds(
        dict,
        config=_names,
        group=st.sampled_from(["Channel", "Laser"]),
        do_stack=st.booleans(),
        acquire_every=st.integers(1, 3),
    ),
    max_size=3,
    unique_by=lambda channel: (channel["config"], channel["group"]),
)
_times = st.none() | st.builds(dict, interval=st.just(1), loops=st.integers(1, 4))
_z_plans = (
    st.none()
    | st.builds(dict, range=st.integers(0, 4), step=st.just(1), go_up=st.booleans())
    | st.builds(dict, relative=st.lists(st.integers(0, 3), max_size=3))
)
_grids = (
    st.none()
    | st.builds(dict, rows=st.integers(1, 2), columns=st.integers(1, 2))
    | st.builds(dict, num_points=st.integers(1, 3), random_seed=st.integers(0, 9))
)
_focus = st.none() | st.just({"axes": ("p", "z")})
_orders = st.just("tpgcz") | st.permutations("tpgcz").map("".join)
_sub_sequences = st.fixed_dictionaries(
    {},
    optional={
        "time_plan": _times,
        "channels": _channels,
        "z_plan": _z_plans,
        "grid_plan": _grids,
        "autofocus_plan": _focus,
        "axis_order": _orders,
    },
)


@st.composite
def sequences(draw: st.DrawFn) -> useq.MDASequence | None:
    """Draw a sequence whose positions may have sub-sequences; None if useq refuses it."""
    positions = []
    for number in range(draw(st.integers(0, 3))):
        # Far enough apart that two positions never have the same coordinates.
        position: dict[str, Any] = {"x": 1000.0 * number, "y": 7000.0 * number, "z": 5.0}
        position["name"] = draw(st.sampled_from([None, "a", "b"]))
        if draw(st.booleans()):
            position["sequence"] = draw(_sub_sequences)
        positions.append(position)
    plans = {
        "stage_positions": positions,
        "time_plan": draw(_times),
        "channels": draw(_channels),
        "z_plan": draw(_z_plans),
        "grid_plan": draw(_grids),
        "autofocus_plan": draw(_focus),
        "axis_order": draw(_orders),
    }
    note(repr(plans))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return useq.MDASequence(**plans)
        except ValueError:
            return None


@settings(max_examples=300 if SWEEPS else 50, deadline=None)
@given(seq=sequences())
def test_generated_sequences(seq: useq.MDASequence | None) -> None:
    """For any sequence that useq iterates, each frame is at the index of its event, or an error is raised."""
    if seq is None:
        return
    try:
        events, crash = image_events(seq.model_copy(deep=True)), None
    except (KeyError, IndexError) as error:  # raised by useq
        events, crash = [], error
    if not events:
        with pytest.raises(UnsupportedError) if crash is None else suppress(UnsupportedError):
            useq_to_acquisition_settings(seq, 8, 8)
        return
    found = useq_to_acquisition_settings(seq, 8, 8)
    check_places(seq, found, events)
    place_of = EventIndexMap(seq)
    assert [place_of(event.index) for event in events] == places_of(found, len(events))


# ---------------------------------------------------------------- cost

_MANY: dict[str, Any] = {
    "time_plan": {"interval": 1, "loops": 100},
    "z_plan": {"range": 49, "step": 1},
    "stage_positions": [(10 * i, 20, 30) for i in range(10)],
}


@pytest.mark.parametrize(
    ("plans", "seconds"),
    [
        ({**_MANY, "channels": ["A", "B"]}, 0.2),
        ({**_MANY, "channels": ["A", "B", FLAT]}, 1.0),
        ({**_MANY, "channels": ["A", "B", SELDOM], "axis_order": "ptgcz"}, 1.0),
        (
            {
                **_MANY,
                "stage_positions": [at(i, z_plan=Z5, channels=["A", "B"]) for i in range(99)],
            },
            1.0,
        ),
    ],
    ids=["regular", "off the stack", "skipping", "own plans"],
)
def test_conversion_of_100_000_frames_is_fast(plans: dict[str, Any], seconds: float) -> None:
    """Below 0.2 s of CPU time, below 1 s if ragged."""
    seq = useq.MDASequence(**plans)
    start = time.process_time()
    found = useq_to_acquisition_settings(seq, 512, 512)
    assert time.process_time() - start < seconds
    assert len(found["dimensions"]) > 3
