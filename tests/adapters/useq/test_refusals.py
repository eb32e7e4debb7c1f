"""Sequences that cannot be represented raise UnsupportedError with the reason and a solution."""

from __future__ import annotations

from typing import Any

import pytest
import useq
import useq.v2

from adapters.useq.cases import FLAT, SELDOM, T3, TWO, Z3, at, plate
from ome_writers import UnsupportedError
from ome_writers_useq import EventIndexMap, dims_from_useq, useq_to_acquisition_settings

ENDLESS = {"interval": 0, "duration": 1}
NOTHING = {"relative": []}


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        (
            {},
            r"acquires no image: axis_order='tpgcz', sizes \{\}\. Give it at least one time point",
        ),
        ({"axis_order": "z", "time_plan": T3}, "acquires no image"),
        ({"stage_positions": plate(slice(0))}, "acquires no image"),
        ({"stage_positions": [at(1, z_plan=NOTHING)], "channels": TWO}, "acquires no image"),
        (
            {"time_plan": ENDLESS, "channels": TWO, "axis_order": "ct"},
            "unbounded, but the axis order 'ct' puts it inside c.* Put 't' first",
        ),
        (
            {"time_plan": ENDLESS, "channels": [SELDOM]},
            r"every channel skips time points \(acquire_every=\[2\]\).* Acquire one channel",
        ),
        (
            {"stage_positions": [at(1, "a", time_plan=ENDLESS)]},
            r"Position 0 \(a\): the time plan of its sequence is unbounded.* number of loops",
        ),
        (
            {"stage_positions": [at(1), at(2, time_plan=T3)], "time_plan": ENDLESS},
            r"Position 1 \(unnamed\): its own time plan would restart.* drop the position's",
        ),
        (
            {
                "stage_positions": [at(1, z_plan=Z3, autofocus_plan={"axes": ("p",)})],
                "time_plan": ENDLESS,
                "z_plan": Z3,
            },
            "own time plan or autofocus plan, so that it is visited repeatedly.* Bound the time plan",
        ),
        (
            {"time_plan": {"duration": 3, "loops": 1}},
            r"single loop in 0:00:03\. Give it an interval",
        ),
        (
            {"axis_order": "tc", "time_plan": T3, "channels": [*TWO, FLAT], "z_plan": Z3},
            "Channel 'BF' has do_stack=False.* Add 'z' to axis_order",
        ),
    ],
)
def test_unsupported_sequence(plans: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=f"(?s){message}") as caught:
        useq_to_acquisition_settings(useq.MDASequence(**plans), 8, 8)
    assert isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize("seq", [[useq.MDAEvent()], None, useq.v2.MDASequence(channels=["A"])])
def test_wrong_type_is_refused(seq: Any) -> None:
    with pytest.raises(ValueError, match=r"must be a useq\.MDASequence, got \w+(\.\w+)+: "):
        useq_to_acquisition_settings(seq, 8, 8)


def test_dims_from_useq_refuses_ragged_sequences() -> None:
    """Dimensions alone would store the frames of a ragged sequence at wrong indices."""
    seq = useq.MDASequence(channels=["DAPI", FLAT], z_plan=Z3)
    with (
        pytest.warns(DeprecationWarning, match="loses the plate"),
        pytest.raises(UnsupportedError, match=r"ragged.* Use useq_to_acquisition_settings"),
    ):
        dims_from_useq(seq, 8, 8)


@pytest.mark.parametrize("index", [{"p": 2, "c": 0}, {"p": 0, "c": 5}, {"p": 0, "c": 0, "g": 1}])
def test_event_index_outside_the_sequence(index: dict[str, int]) -> None:
    places = EventIndexMap(useq.MDASequence(stage_positions=[(1, 2), (3, 4)], channels=TWO))
    with pytest.raises(ValueError, match=r"\{'p': \d.*\} is outside the sequence: axis '[pc]'"):
        places(index)
