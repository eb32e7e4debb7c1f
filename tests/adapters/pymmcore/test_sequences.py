"""Named sequences, run for real on the demo camera, through each way in and into both formats.

By default a few of them; with ``OME_WRITERS_TABLE=all`` (``tox -e clients``) the whole table.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered, popped
from adapters.pymmcore.stored import check_delivered
from adapters.useq.cases import CASES, Case
from adapters.useq.oracle import image_events
from ome_writers_pymmcore import MDAWriter, record

pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = [
    pytest.mark.camera,
    # tifffile's own, when a series of one page is in another file of a set
    pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning"),
]
WHOLE = os.environ.get("OME_WRITERS_TABLE") == "all"
FEW = {
    "own channels with an own stack",
    "skips and leaves the stack",
    "wells and a grid, apart",
    "an autofocus between ragged frames",
    "a time-lapse within a time-lapse",
}
CHOSEN = [case for case in CASES if WHOLE or case.name in FEW]


@pytest.fixture(scope="module", autouse=True)
def _channels(demo_core: CMMCorePlus) -> Iterator[None]:
    """Define the channels of the table."""
    for group, config in (("Channel", "BF"), ("Channel", "A"), ("Channel", "B"), ("Laser", "DAPI")):
        demo_core.defineConfig(group, config, "Camera", "Gain", "1")
    demo_core.defineConfig("Channel", "C", "Camera", "Gain", "2")
    demo_core.setProperty("Z", "UseSequences", "Yes")
    yield
    demo_core.setProperty("Z", "UseSequences", "No")
    for config in ("BF", "A", "B", "C"):
        demo_core.deleteConfig("Channel", config)
    demo_core.deleteConfigGroup("Laser")


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
@pytest.mark.parametrize("way", ["path", "writer"])
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_frames_are_at_the_index_of_their_event(
    demo_core: CMMCorePlus,
    case: Case,
    way: str,
    suffix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each stored frame is the one that frameReady delivered for its index; everything else is 0."""
    seq, output = case.sequence(), tmp_path / f"x.ome.{suffix}"
    sequenced = len(case.name) % 2 == 0  # both, half of each
    demo_core.mda.engine.use_hardware_sequencing = sequenced
    target: Any = output if way == "path" else MDAWriter(output, core=demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.run(seq, output=target)
    # The engine tells grids the size of the field of view: the sequence after the run is the one that ran. On a busy
    # machine it misses the last frames of a hardware sequence, and logs a warning; these frames are missing.
    planned = len(image_events(seq.model_copy(deep=True)))
    warnings_logged = re.findall(r"Expected (\d+), got (\d+)", caplog.text)
    assert len(frames) == planned - sum(int(asked) - int(got) for asked, got in warnings_logged) > 0
    different = len({image.tobytes() for _, image in frames})
    # On Windows, each hardware sequence of the demo camera starts with the same noise: `rand` has a state per thread.
    repeated = sequenced and sys.platform == "win32"
    assert different > 1 if repeated else different == len(frames), "frames alike prove nothing"
    check_delivered(output, seq, frames)
    if way == "writer":
        counts = target.result()
        assert counts.received == len(frames)
        assert counts.dropped == (counts.expected or 0) - len(frames)


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_triggered_frames_are_at_the_index_of_their_event(
    demo_core: CMMCorePlus, case: Case, suffix: str, tmp_path: Path
) -> None:
    seq, output = case.sequence(), tmp_path / f"x.ome.{suffix}"
    events = image_events(case.sequence())
    with popped(demo_core) as frames, warnings.catch_warnings():
        counts = record(demo_core, output, sequence=seq, progress=False)
    assert (counts.received, counts.written, counts.dropped) == (len(events), len(events), 0)
    assert len(np.unique([frame.tobytes() for frame in frames])) == len(events)
    indices = [{str(a): i for a, i in event.index.items()} for event in events]
    check_delivered(output, seq, zip(indices, frames, strict=True))
