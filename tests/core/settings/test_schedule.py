"""Schedules: immutable arrays of indices with names."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, Schedule

ROWS = [[0, 0, 0], [0, 1, 0], [1, 0, 2], [1, 0, 3]]
SCHEDULE = Schedule(("t", "p", "z"), ROWS)
FRAME = [Dimension(name="y", count=4), Dimension(name="x", count=4)]


def test_indices_are_compact_and_read_only() -> None:
    """The indices are 32-bit where that is enough, a copy, and cannot be changed."""
    rows = np.array(ROWS)
    schedule = Schedule(("t", "p", "z"), rows)
    rows[:] = 9
    assert schedule == SCHEDULE
    assert schedule.indices.dtype == np.int32
    assert Schedule(("t",), [[2**31]]).indices.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        schedule.indices[0, 0] = 1


def test_equality_is_by_content() -> None:
    """Schedules with equal axes and indices are equal, and hash alike."""
    same = Schedule(["t", "p", "z"], np.array(ROWS, dtype=np.uint8))
    assert same == SCHEDULE
    assert hash(same) == hash(SCHEDULE)
    assert Schedule(("t", "p", "c"), ROWS) != SCHEDULE
    assert Schedule(("t", "p", "z"), ROWS[::-1]) != SCHEDULE
    assert SCHEDULE != ROWS
    assert len(SCHEDULE) == 4


def test_extents_per_position() -> None:
    assert SCHEDULE.extents() == {0: {"t": 2, "z": 4}, 1: {"t": 1, "z": 1}}
    assert SCHEDULE.extents("t") == {0: {"p": 2, "z": 1}, 1: {"p": 1, "z": 4}}
    assert SCHEDULE.extents("g") == {0: {"t": 2, "p": 2, "z": 4}}
    assert SCHEDULE.count("z") == 4


def test_copies_and_pickles_are_equal() -> None:
    """A schedule survives copying and pickling, and stays read-only."""
    for twin in (
        copy.deepcopy(SCHEDULE),
        copy.copy(SCHEDULE),
        pickle.loads(pickle.dumps(SCHEDULE)),
    ):
        assert twin == SCHEDULE
        assert not twin.indices.flags.writeable


def test_settings_take_a_schedule_or_its_dump() -> None:
    """A schedule is accepted as such and as the mapping it is dumped to, in python and in JSON."""
    dims = [Dimension(name=n, count=4) for n in "tpz"]
    settings = AcquisitionSettings(dimensions=[*dims, *FRAME], schedule=SCHEDULE)
    dump = settings.model_dump(mode="json")["schedule"]
    assert dump == {"axes": ["t", "p", "z"], "indices": ROWS}
    settings.schedule = None
    settings.schedule = dump
    assert settings.schedule == SCHEDULE
    assert AcquisitionSettings.model_validate(settings.model_dump()).schedule == SCHEDULE
    assert "schedule" in AcquisitionSettings.model_json_schema()["properties"]


def test_num_frames_with_schedule() -> None:
    dims = [Dimension(name=n, count=4) for n in "tpz"]
    cam = Dimension(name="cam", count=3, type="other")
    settings = AcquisitionSettings(dimensions=[*dims, *FRAME], schedule=SCHEDULE)
    assert settings.num_frames == 4
    settings.dimensions = [*dims, cam, *FRAME]
    assert settings.num_frames == 12
    settings.dimensions = [Dimension(name="t"), *dims[1:], *FRAME]
    assert settings.num_frames is None


def test_schedule_with_unbounded_axis() -> None:
    schedule = Schedule(("t",), [[10_000]])
    settings = AcquisitionSettings(dimensions=[Dimension(name="t"), *FRAME], schedule=schedule)
    assert settings.schedule == schedule


def test_schedule_with_many_rows_is_fast() -> None:
    rows = np.stack(np.unravel_index(np.arange(100_000), (100, 1000)), axis=1)
    assert len(Schedule(("t", "p"), rows).extents()) == 1000
