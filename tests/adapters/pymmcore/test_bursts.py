"""Bursts on a busy machine: no frame of a short burst is lost, and no false timeout is raised."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from adapters.pymmcore.acquisitions import delivered
from ome_writers_pymmcore import frames

pytest.importorskip("pymmcore_plus")

import useq

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera


def test_burst_that_ends_between_two_polls_is_complete(
    demo_core: CMMCorePlus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is delayed after it found no frame in the buffer."""
    count = demo_core.getRemainingImageCount

    def held_up() -> Any:
        found = count()
        if not found:
            time.sleep(0.1)
        return found

    monkeypatch.setattr(demo_core, "getRemainingImageCount", held_up)
    demo_core.mda.engine.use_hardware_sequencing = True
    with delivered(demo_core) as received:
        demo_core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 3}))
    assert len(received) == 3


def test_suspended_process_does_not_time_out(
    demo_core: CMMCorePlus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time during which the whole process was suspended does not count as waiting for the camera."""
    count = demo_core.getRemainingImageCount
    looks: list[int] = []

    def held_up() -> Any:
        looks.append(len(looks))
        if len(looks) == 3:
            time.sleep(5)
        return count() if len(looks) > 3 else 0

    monkeypatch.setattr(demo_core, "getRemainingImageCount", held_up)
    demo_core.startSequenceAcquisition(20000, 0, True)
    monkeypatch.setattr(demo_core, "isSequenceRunning", lambda: True)
    try:
        assert next(frames(demo_core, timeout=4)).pixels.shape == (32, 48)
    finally:
        demo_core.stopSequenceAcquisition()
