"""`pyramid=` in each way to record the demo camera: tensorstore reads levels of the delivered frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.stored import attributes, read
from ome_writers import AcquisitionSettings, Pyramid, useq_to_acquisition_settings
from ome_writers_pymmcore import MDAWriter, record

useq = pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

SEQUENCE = useq.MDASequence(
    time_plan={"interval": 0, "loops": 2}, channels=["DAPI", "FITC"], z_plan={"range": 2, "step": 1}
)
PYRAMID = Pyramid(method="max", levels=2)


def run_settings(core: CMMCorePlus, output: Path) -> None:
    core.mda.run(SEQUENCE, output=AcquisitionSettings(root_path=output, pyramid=PYRAMID))


def run_settings_of_sequence(core: CMMCorePlus, output: Path) -> None:
    derived = useq_to_acquisition_settings(SEQUENCE, 48, 32)
    settings = AcquisitionSettings(**derived, root_path=output, dtype="uint16", pyramid=PYRAMID)
    core.mda.run(SEQUENCE, output=settings)


def run_writer(core: CMMCorePlus, output: Path) -> None:
    core.mda.run(SEQUENCE, output=MDAWriter(output, core=core, pyramid=PYRAMID))


def run_writer_of_settings(core: CMMCorePlus, output: Path) -> None:
    settings = AcquisitionSettings(root_path=output, pyramid=PYRAMID)
    core.mda.run(SEQUENCE, output=MDAWriter(settings, core=core))


def record_frames(core: CMMCorePlus, output: Path) -> None:
    record(core, output, n_frames=12, pyramid=PYRAMID, progress=False)


def record_sequence(core: CMMCorePlus, output: Path) -> None:
    record(core, output, sequence=SEQUENCE, pyramid={"method": "max", "levels": 2}, progress=False)


def maxima(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the maxima of 2 x 2 pixels."""
    return np.max([pixels[..., y::2, x::2] for y in (0, 1) for x in (0, 1)], axis=0)


@pytest.mark.parametrize(
    "acquire",
    [
        run_settings,
        run_settings_of_sequence,
        run_writer,
        run_writer_of_settings,
        record_frames,
        record_sequence,
    ],
    ids=lambda way: way.__name__,
)
def test_levels_of_the_demo_camera(
    demo_core: CMMCorePlus, tmp_path: Path, acquire: Callable[[CMMCorePlus, Path], None]
) -> None:
    import tensorstore

    output = tmp_path / "run.ome.zarr"
    acquire(demo_core, output)
    (image,) = read(output)
    assert len(np.unique(image.pixels.reshape(-1, 32 * 48), axis=0)) == 12
    expected = image.pixels
    for level in ("1", "2"):
        expected = maxima(expected)
        store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(output / level)}}
        stored = tensorstore.open(store).result().read().result()
        np.testing.assert_array_equal(stored, expected)
    multiscale = attributes(output)["ome"]["multiscales"][0]
    assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1", "2"]
    assert multiscale["type"] == "max"
