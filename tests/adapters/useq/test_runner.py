"""The runner of pymmcore-plus delivers frames in the order of the settings."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING

import pytest

from adapters.pymmcore.acquisitions import release_core
from adapters.useq.cases import CASES, Case
from adapters.useq.oracle import check_places, image_events
from ome_writers_useq import useq_to_acquisition_settings
from support.sweeps import swept

pytest.importorskip("pymmcore_plus")

from pymmcore_plus import find_micromanager
from pymmcore_plus.mda import mda_listeners_connected

from adapters.pymmcore.cameras import small_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import useq
    from pymmcore_plus import CMMCorePlus

if not find_micromanager():
    pytest.skip("mm-test-adapters is not installed", allow_module_level=True)

pytestmark = pytest.mark.camera


@pytest.fixture(scope="module")
def core() -> Iterator[CMMCorePlus]:
    """Return a core with the demo camera, small and fast, with all devices sequenceable."""
    core = small_core(32, 32)
    core.setProperty("Camera", "FastImage", 1)
    core.setProperty("Z", "UseSequences", "Yes")
    # The channels of the table, some with properties that can be sequenced.
    for group, config in (("Channel", "BF"), ("Channel", "A"), ("Channel", "B"), ("Laser", "DAPI")):
        core.defineConfig(group, config, "Camera", "Gain", "1")
    core.defineConfig("Channel", "C", "Camera", "Gain", "2")
    yield core
    release_core(core)


class Frames:
    """Collects the events of delivered frames."""

    def __init__(self) -> None:
        self.events: list[useq.MDAEvent] = []

    def frameReady(self, image: np.ndarray, event: useq.MDAEvent) -> None:  # noqa: N802  # pymmcore-plus' name
        """Keep the event of a frame."""
        self.events.append(event)


def delivered(core: CMMCorePlus, seq: useq.MDASequence) -> list[useq.MDAEvent]:
    """Return the events of the frames of a run."""
    frames = Frames()
    with mda_listeners_connected(frames, mda_events=core.mda.events):
        core.mda.run(seq)
    return frames.events


@pytest.mark.parametrize(
    "run",
    swept(
        itertools.product(CASES, ("sequenced", "snapped")),
        lambda run: CASES.index(run[0]) % (3 if run[1] == "sequenced" else 12) == 0,
        lambda run: f"{run[0].name}-{run[1]}",
    ),
)
def test_frames_are_delivered_in_the_order_of_the_settings(
    core: CMMCorePlus, run: tuple[Case, str]
) -> None:
    """A normal run has each third case with hardware sequences, and each twelfth without."""
    case, how = run
    seq = case.sequence()
    core.mda.engine.use_hardware_sequencing = how == "sequenced"
    events = delivered(core, seq)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames that replace others
        found = useq_to_acquisition_settings(seq, 32, 32)
    assert len(events) == len(image_events(seq))
    check_places(seq, found, events)
