"""``mmc.mda.run(seq, output="x.ome.tiff")``: tifffile reads the frames that the demo camera delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.stored import unsqueezed

useq = pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
tifffile = pytest.importorskip("tifffile", reason="the independent reader")
ome_types = pytest.importorskip("ome_types", reason="the validator of OME-XML")

if TYPE_CHECKING:
    from pathlib import Path

    from ome_types.model import OME
    from pymmcore_plus import CMMCorePlus

pytestmark = [
    pytest.mark.camera,
    # tifffile's own, when a series of one page is in another file of a set
    pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning"),
]
CHANNELS = ["DAPI", "FITC"]
LOOPS = {"interval": 0, "loops": 4}


def acquire(
    core: CMMCorePlus, events: Any, output: Path, cancel_at: int | None = None
) -> list[Any]:
    """Run an acquisition; return (index, frame) in the order of delivery."""
    frames: list[Any] = []

    def receive(image: np.ndarray, event: useq.MDAEvent, _meta: Any) -> None:
        frames.append((dict(event.index), image.copy()))
        if len(frames) == cancel_at:
            core.mda.cancel()

    def start(*_: Any) -> None:
        if cancel_at == 0:
            core.mda.cancel()

    core.mda.events.frameReady.connect(receive)
    core.mda.events.sequenceStarted.connect(start)
    try:
        core.mda.run(events, output=output)
    finally:
        core.mda.events.frameReady.disconnect(receive)
        core.mda.events.sequenceStarted.disconnect(start)
    return frames


def check(output: Path, frames: list[Any], images: int) -> list[OME]:
    """Compare every file of an output with the frames; return the valid documents."""
    files = [output] if output.is_file() else sorted(output.parent.glob("x/*.tiff"))
    assert len(files) == (1 if output.is_file() else images)
    documents = []
    for file in files:
        with tifffile.TiffFile(file) as tiff:
            xml = tiff.pages.first.description
            ome_types.validate_xml(xml)
            documents.append(ome_types.from_xml(xml))
            assert len(tiff.series) == images
            found = [_ordered(series) for series in tiff.series]
        for index, frame in frames:
            place = tuple(index.get(axis, 0) for axis in "tcz")
            np.testing.assert_array_equal(found[index.get("p", 0)][place], frame)
        planes = sum(len(image.pixels.planes) for image in documents[-1].images)
        assert planes == len(frames)
    return documents


def _ordered(series: Any) -> np.ndarray:
    return unsqueezed(series)[..., 0]


def test_time_lapse(core: CMMCorePlus, tmp_path: Path) -> None:
    """A time-lapse is one file, with the summary that pymmcore-plus adds after close."""
    events = useq.MDASequence(time_plan=LOOPS, channels=CHANNELS)
    (document,) = check(tmp_path / "x.ome.tiff", acquire(core, events, tmp_path / "x.ome.tiff"), 1)
    names = [a.namespace for a in document.structured_annotations.map_annotations]
    assert names.count("pymmcore_plus") == 1
    assert document.images[0].pixels.physical_size_x == core.getPixelSizeUm()
    assert [c.name for c in document.images[0].pixels.channels] == CHANNELS


def test_positions(core: CMMCorePlus, tmp_path: Path) -> None:
    """Each position is a file, and each file references all of them."""
    positions = [(0, 0, 0), (10, 10, 1)]
    plan = {"range": 2, "step": 1}
    events = useq.MDASequence(stage_positions=positions, z_plan=plan, channels=CHANNELS)
    check(tmp_path / "x.ome.tiff", acquire(core, events, tmp_path / "x.ome.tiff"), 2)


def test_plate(core: CMMCorePlus, tmp_path: Path) -> None:
    """Every file contains the wells of the plate."""
    plate = useq.WellPlatePlan(plate=96, a1_center_xy=(0, 0), selected_wells=([0, 1], [0, 1]))
    events = useq.MDASequence(stage_positions=plate, channels=CHANNELS)
    for document in check(
        tmp_path / "x.ome.tiff", acquire(core, events, tmp_path / "x.ome.tiff"), 2
    ):
        assert [(well.row, well.column) for well in document.plates[0].wells] == [(0, 0), (1, 1)]


def test_uncalibrated_microscope_has_no_physical_size(
    core: CMMCorePlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "getPixelSizeUm", lambda *_: 0.0)
    events = useq.MDASequence(time_plan=LOOPS)
    (document,) = check(tmp_path / "x.ome.tiff", acquire(core, events, tmp_path / "x.ome.tiff"), 1)
    assert document.images[0].pixels.physical_size_x is None


def test_cancelled_within_a_position(core: CMMCorePlus, tmp_path: Path) -> None:
    """All delivered frames are stored, and each image has the size that was reached."""
    core.mda.engine.use_hardware_sequencing = False
    positions = [(0, 0), (10, 10), (20, 20)]
    events = useq.MDASequence(
        axis_order="ptc", stage_positions=positions, time_plan=LOOPS, channels=CHANNELS
    )
    frames = acquire(core, events, tmp_path / "x.ome.tiff", cancel_at=11)
    for document in check(tmp_path / "x.ome.tiff", frames, 3):
        assert [image.pixels.size_t for image in document.images] == [4, 2, 1]


def test_cancelled_before_first_frame(core: CMMCorePlus, tmp_path: Path) -> None:
    """The result is a valid file with one empty plane."""
    events = useq.MDASequence(time_plan=LOOPS, channels=CHANNELS)
    frames = acquire(core, events, tmp_path / "x.ome.tiff", cancel_at=0)
    (document,) = check(tmp_path / "x.ome.tiff", frames, 1)
    assert (document.images[0].pixels.size_t, frames) == (1, [])
