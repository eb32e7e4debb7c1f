"""Short bursts come whole to the tests, however busy the machine is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from adapters.pymmcore.runs import delivered

pytest.importorskip("pymmcore_plus")

import useq

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera


def test_a_burst_that_ends_between_two_looks(
    demo_core: CMMCorePlus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is held up after it found no frame waiting still gets all frames of a burst."""
    count = demo_core.getRemainingImageCount

    def held_up() -> Any:
        found = count()
        if not found:
            time.sleep(0.1)
        return found

    monkeypatch.setattr(demo_core, "getRemainingImageCount", held_up)
    demo_core.mda.engine.use_hardware_sequencing = True
    with delivered(demo_core) as came:
        demo_core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 3}))
    assert len(came) == 3
