"""pymmcore-nano, which pymmcore-plus uses instead of pymmcore if it is installed (``tox -e nano``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.stored import SUFFIXES, read
from ome_writers import AcquisitionSettings, Dimension, create_stream

nano = pytest.importorskip("pymmcore_nano", reason="the other binding of Micro-Manager's core")
pymmcore_plus = pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera


@pytest.fixture
def bare() -> Iterator[Any]:
    """Return a plain core of pymmcore-nano with a demo camera, without pymmcore-plus."""
    if not (adapters := pymmcore_plus.find_micromanager()):
        pytest.skip("mm-test-adapters is not installed")
    core = nano.CMMCore()
    core.setDeviceAdapterSearchPaths([str(adapters)])
    core.loadDevice("Camera", "DemoCamera", "DCam")
    core.initializeDevice("Camera")
    core.setCameraDevice("Camera")
    for name, value in (("OnCameraCCDXSize", 48), ("OnCameraCCDYSize", 32), ("Mode", "Noise")):
        core.setProperty("Camera", name, value)
    core.setExposure(1)
    yield core
    core.reset()


@SUFFIXES
@pytest.mark.parametrize("copy", [True, False], ids=["copied", "handed over"])
@pytest.mark.parametrize("pixels", ["16bit", "32bitRGB"])
def test_nano_arrays_are_stored_unchanged(
    bare: Any, pixels: str, copy: bool, suffix: str, tmp_path: Path
) -> None:
    """Read-only arrays in the core's memory and reversed RGB samples, snapped or popped."""
    bare.setProperty("Camera", "PixelType", pixels)
    bare.snapImage()
    frame = bare.getImage()
    assert not frame.flags.writeable
    assert (frame.strides[-1] < 0) == (frame.ndim == 3)
    output, received = tmp_path / f"x.ome.{suffix}", [frame.copy()]
    settings = AcquisitionSettings(
        root_path=output,
        dimensions=[
            Dimension(name="t", type="time", count=4),
            *(Dimension(name=n, type="space", count=c) for n, c in (("y", 32), ("x", 48))),
        ],
        dtype=frame.dtype,
        rgb=frame.ndim == 3,
    )
    with create_stream(settings) as stream:
        stream.append(frame, copy=copy)
        bare.startSequenceAcquisition(3, 0, True)
        while bare.isSequenceRunning() or bare.getRemainingImageCount():
            if bare.getRemainingImageCount():
                frame = bare.popNextImage()
                received.append(frame.copy())
                stream.append(frame, copy=copy)
    (image,) = read(output)
    stored = image.pixels
    if pixels == "32bitRGB" and suffix == "zarr":
        stored = np.moveaxis(stored, -3, -1)
    np.testing.assert_array_equal(stored.reshape(np.shape(received)), received)


def test_pymmcore_plus_uses_nano(demo_core: CMMCorePlus) -> None:
    """If pymmcore-nano is installed, all demo camera tests run on it."""
    from pymmcore_plus.metadata import summary_metadata

    assert isinstance(demo_core, nano.CMMCore)
    assert summary_metadata(demo_core)["system_info"]["pymmcore_backend"] == "pymmcore-nano"
