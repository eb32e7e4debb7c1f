"""State of an OME-TIFF on disk after each system call of `close`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tifffile", reason="tifffile reads each state")
pytest.importorskip("ome_types", reason="required by the engine")

import tifffile

from ome_writers import open as open_view
from ome_writers import read_frame_metadata, validate
from ome_writers.repair import repair
from support.closings import FRAME, RUNS, copies_while_closing, output, read, tiffs
from support.steps import each_step
from support.sweeps import swept

if TYPE_CHECKING:
    from pathlib import Path

# tifffile warns when it reads the other files of a set
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning"),
    pytest.mark.thread_writer,  # stops at the system calls of this process
]


# Each ending and each kind of files
MAIN = ("complete", "cut inside", "no end, compressed", "set with a master", "set, cut inside")
# Number of observed states: in Python 3.10 the removal of lock file and journal is not traced.
MIN_STATES = 4 if sys.version_info >= (3, 11) else 3


@pytest.mark.parametrize("name", swept(RUNS, MAIN.__contains__))
def test_all_frames_are_readable_and_repairable_after_each_system_call(
    name: str, tmp_path: Path
) -> None:
    """Of `close`: each copy of the files has all frames at their indices before and after `repair`."""
    run = RUNS[name]
    copies = copies_while_closing(run, tmp_path)
    assert len(copies) >= MIN_STATES
    repaired = []
    for copy in copies:
        path = output(copy)
        for file in tiffs(path):
            with tifffile.TiffFile(file) as tiff:
                images = read(tiff)
                assert len(tiff.pages) >= 1
            if images is not None:
                run.check(images)
        assert {f["serial"] for f in read_frame_metadata(path)} == set(range(run.frames))
        for lock in copy.rglob("*.lock"):
            lock.write_bytes(b"")  # names this process, which is running
        repair(path)
        assert not repair(path).findings
        pages = 0
        for file in tiffs(path):
            with tifffile.TiffFile(file) as tiff:
                images = read(tiff)
                pages += len(tiff.pages)
            if images is not None:
                run.check(images)
        view = np.asarray(open_view(path))
        assert int(np.count_nonzero(view)) == run.frames * FRAME[0] * FRAME[1]
        repaired.append((view.shape, pages))
    assert len({*repaired}) <= 2, "planned shape or extent reached"
    for copy in (copies[len(copies) // 2], copies[-1]):
        checked = validate(output(copy))
        assert checked.valid, checked.findings
    assert repaired[-1] == (np.asarray(open_view(output(tmp_path / "live"))).shape, repaired[-1][1])


@pytest.mark.parametrize("name", RUNS)
def test_readers_opened_during_close_stay_valid(name: str, tmp_path: Path) -> None:
    """A file opened after any system call of `close` still has correct pixels for the pages known at open."""
    run = RUNS[name]
    stream = run.started(tmp_path)
    path = output(tmp_path)
    with ExitStack() as opened:
        readers: list[tuple[tifffile.TiffFile, Any]] = []

        def open_readers() -> None:
            for file in tiffs(path):
                tiff = opened.enter_context(tifffile.TiffFile(file))
                readers.append((tiff, tiff.series[0] if len(readers) % 2 else None))

        view = open_view(path)
        with each_step(open_readers):
            stream.close()
        assert len(readers) >= MIN_STATES
        for tiff, _ in readers:
            images = read(tiff)
            if images is not None:
                run.check(images)
        pixels = np.asarray(view)
    assert set(np.unique(pixels)) <= set(range(run.frames + 1))
    assert int(np.count_nonzero(pixels)) == run.frames * FRAME[0] * FRAME[1]
