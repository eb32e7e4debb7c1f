"""The demo camera: small, quick, and no two frames alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.pymmcore.runs import let_go

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus


@pytest.fixture(scope="session")
def demo_core() -> Iterator[CMMCorePlus]:
    """Return a core of the demo configuration, with 48 x 32 pixels of noise a frame."""
    pymmcore_plus = pytest.importorskip("pymmcore_plus")
    if not pymmcore_plus.find_micromanager():
        pytest.skip("mm-test-adapters is not installed")
    from adapters.pymmcore.cameras import small_core

    core = small_core(48, 32)
    core.setProperty("Camera", "PixelType", "16bit")
    core.setProperty("Camera", "Mode", "Noise")
    yield core
    let_go(core)


@pytest.fixture(params=[True, False], ids=["sequenced", "snapped"])
def core(request: pytest.FixtureRequest, demo_core: CMMCorePlus) -> CMMCorePlus:
    """Return the core, with hardware sequences where the devices can, and without."""
    demo_core.mda.engine.use_hardware_sequencing = request.param
    return demo_core
