"""Fixtures for the demo camera, with small frames of noise that all differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.pymmcore.acquisitions import release_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus


@pytest.fixture(scope="session")
def demo_core() -> Iterator[CMMCorePlus]:
    """Return a core of the demo configuration, with frames of 48 x 32 pixels of noise."""
    pymmcore_plus = pytest.importorskip("pymmcore_plus")
    if not pymmcore_plus.find_micromanager():
        pytest.skip("mm-test-adapters is not installed")
    from adapters.pymmcore.cameras import small_core

    core = small_core(48, 32)
    core.setProperty("Camera", "PixelType", "16bit")
    core.setProperty("Camera", "Mode", "Noise")
    yield core
    release_core(core)


@pytest.fixture(params=[True, False], ids=["sequenced", "snapped"])
def core(request: pytest.FixtureRequest, demo_core: CMMCorePlus) -> CMMCorePlus:
    """Return the core, with and without hardware sequencing."""
    demo_core.mda.engine.use_hardware_sequencing = request.param
    return demo_core
