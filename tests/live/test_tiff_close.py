"""An OME-TIFF while it is closed: what is on disk after each system call, and what earlier readers find."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tifffile", reason="it judges each state")
pytest.importorskip("ome_types", reason="the engine needs it")

import tifffile

from ome_writers import open as open_view
from ome_writers import read_frame_metadata, validate
from ome_writers.repair import repair
from support.closings import FRAME, RUNS, copies_while_closing, output, read, tiffs
from support.steps import each_step

if TYPE_CHECKING:
    from pathlib import Path

# tifffile's own, of sets
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")


# States between system calls: Python 3.10 removes the lock and journal in a way that is not seen.
FEWEST = 4 if sys.version_info >= (3, 11) else 3


@pytest.mark.parametrize("name", RUNS)
def test_each_state_is_whole(name: str, tmp_path: Path) -> None:
    """Between any two system calls of `close` each file has all frames in their places, and `repair` tidies it."""
    run = RUNS[name]
    copies = copies_while_closing(run, tmp_path)
    assert len(copies) >= FEWEST
    tidied = []
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
            lock.write_bytes(b"")  # the process that wrote it lives
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
        tidied.append((view.shape, pages))
    assert len({*tidied}) <= 2, "what the writer said, or what was reached"
    for copy in (copies[len(copies) // 2], copies[-1]):
        checked = validate(output(copy))
        assert checked.valid, checked.findings
    assert tidied[-1] == (np.asarray(open_view(output(tmp_path / "live"))).shape, tidied[-1][1])


@pytest.mark.parametrize("name", RUNS)
def test_who_has_opened_it_reads_on(name: str, tmp_path: Path) -> None:
    """Whoever opened a file at any step of `close` reads right pixels later, of the pages that it knows of."""
    run = RUNS[name]
    stream = run.started(tmp_path)
    path = output(tmp_path)
    with ExitStack() as opened:
        readers: list[tuple[tifffile.TiffFile, Any]] = []

        def look() -> None:
            for file in tiffs(path):
                tiff = opened.enter_context(tifffile.TiffFile(file))
                readers.append((tiff, tiff.series[0] if len(readers) % 2 else None))

        view = open_view(path)
        with each_step(look):
            stream.close()
        assert len(readers) >= FEWEST
        for tiff, _ in readers:
            images = read(tiff)
            if images is not None:
                run.check(images)
        seen = np.asarray(view)
    assert set(np.unique(seen)) <= set(range(run.frames + 1))
    assert int(np.count_nonzero(seen)) == run.frames * FRAME[0] * FRAME[1]
