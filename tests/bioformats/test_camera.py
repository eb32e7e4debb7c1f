"""Bio-Formats reads the frames of the demo camera from an OME-TIFF: colours, cameras, positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered, release_core
from ome_writers import validate
from ome_writers_pymmcore import MDAWriter
from support.bioformats import read

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")

import useq
from pymmcore_plus import find_micromanager

from adapters.pymmcore.cameras import small_core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

if not find_micromanager():
    pytest.skip("mm-test-adapters is not installed", allow_module_level=True)
pytestmark = pytest.mark.camera


@pytest.fixture(scope="module")
def core() -> Iterator[CMMCorePlus]:
    """Return a core with the demo camera, small and fast."""
    core = small_core(48, 32)
    yield core
    release_core(core)


@pytest.mark.parametrize("way", ["path", "writer"])
def test_rgb_channel_order(core: CMMCorePlus, way: str, tmp_path: Path) -> None:
    """Red is red, green is green and blue is blue."""
    core.setProperty("Camera", "PixelType", "32bitRGB")
    core.setProperty("Camera", "Mode", "Color Test Pattern")
    core.setPixelSizeUm("Res40x", 1.0)
    core.setConfig("Objective", "40X")
    core.waitForSystem()
    output: Any = tmp_path / "x.ome.tiff"
    target = MDAWriter(output, core=core) if way == "writer" else output
    try:
        with delivered(core) as frames:
            core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 2}), output=target)
    finally:
        core.setProperty("Camera", "PixelType", "16bit")
    (series,) = read(tmp_path / "x.ome.tiff")
    assert len(np.unique(frames[0][1].reshape(-1, 3), axis=0)) > 3
    assert series.facts["PhysicalSizeX"] == 1.0, "read as a TIFF without metadata"
    found = series.pixels.reshape(2, 32, 48, 3)
    np.testing.assert_array_equal(found, [frame for _, frame in frames])


@pytest.mark.parametrize("way", ["path", "writer"])
def test_set_with_edited_metadata(core: CMMCorePlus, way: str, tmp_path: Path) -> None:
    """A set of files whose OME-XML a client has edited is one dataset, whichever file is opened."""
    core.setProperty("Camera", "Mode", "Noise")
    seq = useq.MDASequence(
        stage_positions=[(0, 0), (9, 9)],
        channels=["DAPI", {"config": "FITC", "do_stack": False}],
        z_plan={"range": 2, "step": 1},
    )
    output: Any = tmp_path / "x.ome.tiff"
    with delivered(core) as frames:
        core.mda.run(seq, output=MDAWriter(output, core=core) if way == "writer" else output)
    for file in sorted((tmp_path / "x").iterdir()):
        found: list[Any] = read(file)
        assert len(found) == 2
        assert [s.facts["Channels"] for s in found] == [["DAPI", "FITC"]] * 2
        for index, frame in frames:
            pixels = found[index["p"]].pixels
            np.testing.assert_array_equal(pixels[0, index["c"], index["z"]], frame)


STORY: dict[str, dict[str, Any]] = {
    "time-lapse": {"time_plan": {"interval": 0, "loops": 4}, "channels": ["DAPI", "FITC"]},
    "positions": {
        "stage_positions": [(0, 0, 0), (50, 20, 5)],
        "channels": ["DAPI"],
        "z_plan": {"range": 2, "step": 1},
    },
    "plate": {
        "stage_positions": useq.WellPlatePlan(
            plate="96-well", a1_center_xy=(0, 0), selected_wells=([0, 1], [1, 2])
        ),
        "channels": ["DAPI", "FITC"],
    },
    "cancelled in a position": {
        "stage_positions": [(0, 0, 0), (50, 20, 5)],
        "time_plan": {"interval": 0, "loops": 6},
        "axis_order": "ptc",
    },
    "cancelled before the first frame": {"time_plan": {"interval": 0, "loops": 3}},
}


@pytest.mark.parametrize("pixel_size", [0.0, 0.5])
@pytest.mark.parametrize("story", STORY)
def test_mda_run_with_output_path(
    core: CMMCorePlus, tmp_path: Path, story: str, pixel_size: float
) -> None:
    """`output="x.ome.tiff"` contains the frames of the camera, for Bio-Formats and for `validate`."""
    core.setProperty("Camera", "Mode", "Noise")
    core.setPixelSizeUm("Res40x", pixel_size)
    core.setConfig("Objective", "40X")
    core.waitForSystem()
    assert core.getPixelSizeUm() == pixel_size
    seq = useq.MDASequence(**STORY[story])
    output: Any = tmp_path / "x.ome.tiff"
    before_first = "before" in story

    def cancel(*_: Any) -> None:
        core.mda.cancel()

    if before_first:
        core.mda.events.sequenceStarted.connect(cancel)
    try:
        with delivered(core, cancel_at=8 if story == "cancelled in a position" else None) as frames:
            core.mda.run(seq, output=output)
    finally:
        if before_first:
            core.mda.events.sequenceStarted.disconnect(cancel)
    assert bool(frames) != before_first
    path = output if output.exists() else tmp_path / "x"
    checked = validate(path)
    assert checked.valid, checked.findings
    files = [path] if path.is_file() else sorted(path.glob("*.tiff"))
    for file in files:
        found: list[Any] = read(file)
        assert len(found) == max(1, len(seq.stage_positions))
        for series in found:
            assert series.facts["PhysicalSizeX"] == (pixel_size or None)
            assert series.facts["Plates"] == int(story == "plate")
        count = 0
        for index, frame in frames:
            at = tuple(index.get(axis, 0) for axis in "tcz")
            np.testing.assert_array_equal(found[index.get("p", 0)].pixels[at], frame)
            count += 1
        assert count == len(frames)
        assert sum(int(series.pixels.any(axis=(-2, -1)).sum()) for series in found) == len(frames)
