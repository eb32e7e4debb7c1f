"""An acquisition that was killed and resumed equals an uninterrupted one, whatever its format, layout and order."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import numpy as np
import pytest

import ome_writers as omew
from support.resumed import (
    UNBOUNDED_FRAMES,
    Case,
    append_remaining,
    bytes_now,
    documents,
    frame_metadata,
    kill_while_writing,
    levels,
    pixels,
    random_case,
    stored_bytes,
)
from support.sweeps import SWEEPS

ROUNDS = int(os.environ.get("RESUME_ROUNDS", "8" if SWEEPS else "4"))
FIRST = int(os.environ.get("RESUME_SEED", "0"))


def written(case: Case) -> Path:
    """Write the frames that a dataset lacks, without a kill."""
    with omew.create_stream(case.acquisition, resume=True) as stream:
        for _ in append_remaining(stream, case):
            pass
    return Path(case.acquisition.output_path)


def skip_without_engine(case: Case) -> None:
    if case.settings["format"].get("backend") == "zarr-python":
        pytest.importorskip("zarr", reason="zarr-python needs Python 3.11")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cancelled_dataset_equals_an_uninterrupted_one_when_resumed(
    tmp_path: Path, seed: int
) -> None:
    """In one process, in free order, with levels, and a flush after some frames."""
    rng = random.Random(seed)
    whole = random_case(seed, tmp_path / "whole" / "a", formats=("ome-zarr",))
    skip_without_engine(whole)
    reduced = [dim["name"] for dim in whole.settings["dimensions"] if dim["name"] in "zyx"]
    settings = {**whole.settings, "pyramid": {"levels": 3, "axes": reduced}, "flush_interval": 3600}
    expected = written(Case(whole.path, settings, shuffled=True))
    case = Case(str(tmp_path / "resumed" / "a"), settings, shuffled=True)
    path = Path(case.acquisition.output_path)
    while not is_complete(path):
        with omew.create_stream(case.acquisition, resume=True) as stream:
            for _ in itertools.islice(append_remaining(stream, case), rng.randint(1, 12)):
                if rng.random() < 0.5:
                    stream.flush()
    for level in range(levels(expected)):
        np.testing.assert_array_equal(pixels(path, level), pixels(expected, level), case.label)
    assert frame_metadata(path) == frame_metadata(expected), case.label


def is_complete(path: Path) -> bool:
    """Return whether all frames were written; an unbounded dataset is never complete."""
    return path.exists() and omew.read(path).frames_written == (
        omew.read(path).frames_expected or UNBOUNDED_FRAMES
    )


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_resumed_dataset_equals_an_uninterrupted_one(tmp_path: Path, seed: int) -> None:
    case = random_case(seed, tmp_path / "killed" / "a")
    skip_without_engine(case)
    path = Path(case.acquisition.output_path)
    for kill in case.kills:
        if not is_complete(path):
            kill_while_writing(case, *kill)
    if is_complete(path):
        pytest.skip("the writer ended before it was killed")
    if path.exists():
        with omew.create_stream(case.acquisition, resume=True) as stream:
            remaining = list(itertools.islice(stream.remaining(), 1000))
            plan = stream.plan
        before = stored_bytes(path, remaining, plan)
        if not is_complete(path):
            written(case)
        assert bytes_now(path, before) == before, case.label
    path = written(case) if not is_complete(path) else path
    whole = written(
        Case(str(tmp_path / "whole" / "a"), case.settings, case.metadata, case.shuffled)
    )
    spec = omew.read(path)
    assert (spec.status, spec.frames_written) == ("complete", omew.read(whole).frames_written)
    for level in range(levels(whole)):
        np.testing.assert_array_equal(pixels(path, level), pixels(whole, level), case.label)
    assert frame_metadata(path) == frame_metadata(whole), case.label
    windows = not case.shuffled and case.metadata != "some"
    assert documents(path, windows=windows) == documents(whole, windows=windows), case.label
    checks = omew.validate(path).checks
    assert not any(check.findings for check in checks), (case.label, checks)
