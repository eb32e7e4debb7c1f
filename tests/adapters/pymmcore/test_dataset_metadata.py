"""Metadata of a run in the dataset: frames, microscope, summary."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered, restore
from adapters.pymmcore.stored import SUFFIXES, attributes, check_delivered
from ome_writers_pymmcore import MDAWriter

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")
pytest.importorskip("ome_types", reason="the validator of OME-XML")

import ome_types
import tifffile
import useq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

WAYS = pytest.mark.parametrize("way", ["path", "writer"])


def run(core: CMMCorePlus, sequence: useq.MDASequence, output: Path, way: str = "writer") -> Any:
    """Acquire a sequence; return what was delivered."""
    writer: Any = MDAWriter(output, core=core) if way == "writer" else output
    with delivered(core) as frames:
        core.mda.run(sequence, output=writer)
    if way == "writer":
        assert writer.result().dropped == 0
    return frames


def value(text: str) -> Any:
    """Return the value of an entry of a MapAnnotation: JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def planes(output: Path) -> list[dict[str, Any]]:
    """Return the metadata of each frame: its plane in storage order, and its frame metadata."""
    if output.name.endswith(".zarr"):
        image = output / "0" if "ome_writers" in attributes(output / "0") else output
        return list(attributes(image)["ome_writers"]["frame_metadata"])
    document = ome_types.from_tiff(output)
    notes = {a.id: a.value for a in document.structured_annotations.map_annotations}
    found = []
    for plane in document.images[0].pixels.planes:
        facts = {"position_z": plane.position_z, "plane": (plane.the_t, plane.the_c, plane.the_z)}
        for reference in plane.annotation_refs:
            facts.update({m.k: value(m.value or "") for m in notes[reference.id].ms})
        found.append(facts)
    return found


@pytest.fixture
def sequenced(demo_core: CMMCorePlus) -> Iterator[CMMCorePlus]:
    """Return the core with stages that go through a sequence while the camera is triggered."""
    demo_core.setProperty("Z", "UseSequences", "Yes")
    demo_core.mda.engine.use_hardware_sequencing = True
    yield demo_core
    demo_core.setProperty("Z", "UseSequences", "No")


@SUFFIXES
@pytest.mark.parametrize("upwards", [True, False], ids=["up", "down"])
def test_hardware_sequence_frame_metadata(
    sequenced: CMMCorePlus, suffix: str, upwards: bool, tmp_path: Path
) -> None:
    """Frames of a hardware sequence have the position and index of their event, and the tags of the camera."""
    output = tmp_path / f"x.ome.{suffix}"
    sequence = useq.MDASequence(
        stage_positions=[(10, 20, 30)], z_plan={"range": 4, "step": 2, "go_up": upwards}
    )
    run(sequenced, sequence, output)
    found = planes(output)
    assert [frame["index"] for frame in found] == [{"p": 0, "z": z} for z in range(3)]
    depths = [28.0, 30.0, 32.0]
    assert [frame["position_z"] for frame in found] == (depths if upwards else depths[::-1])
    for number, frame in enumerate(found):
        assert frame["hardware_triggered"] is True
        tags = frame["camera_metadata"]
        assert tags["ImageNumber"] == str(number)
        assert {"ElapsedTime-ms", "TimeReceivedByCore"} <= set(tags)
    if suffix == "zarr":
        settings = attributes(output)["ome_writers"]["settings"]
        (plan,) = [d["coords"] for d in settings["dimensions"] if d["name"] == "z"]
        assert plan == ([-2.0, 0.0, 2.0] if upwards else [2.0, 0.0, -2.0])


@SUFFIXES
def test_microscope_metadata(demo_core: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """Date, region of interest, binning and magnification match the state of the microscope."""
    core, output = demo_core, tmp_path / f"x.ome.{suffix}"
    began: list[datetime] = []

    def start(_: Any, meta: Any) -> None:
        began.append(datetime.fromisoformat(meta["datetime"]))

    turret = (core.getState("Objective"), core.getStateLabel("Objective"))
    core.loadDevice("Optovar", "DemoCamera", "DOptovar")
    core.initializeDevice("Optovar")
    try:
        core.defineStateLabel("Objective", turret[0], "Plan Apo 60x/1.40 Oil")
        core.setProperty("Optovar", "Position", "1.6x")
        core.setROI(8, 4, 16, 12)
        core.setProperty("Camera", "Binning", "2")
        core.setROI(8, 4, 16, 12)
        core.mda.events.sequenceStarted.connect(start)
        run(core, useq.MDASequence(channels=["DAPI"]), output)
    finally:
        core.mda.events.sequenceStarted.disconnect(start)
        restore(core)
        core.unloadDevice("Optovar")
        core.defineStateLabel("Objective", *turret)
    if suffix == "zarr":
        settings = attributes(output)["ome_writers"]["settings"]
        date = settings["acquisition_date"].replace("Z", "+00:00")  # for Python 3.10
        assert datetime.fromisoformat(date) == began[0]
        facts = settings["instrument"]
        (camera,) = facts["detectors"]
        assert (camera["roi"], camera["binning"]) == ([8, 4, 16, 12], 2)
        assert facts["objective"]["calibrated_magnification"] == 96
        assert set(facts["software"]) >= {"pymmcore-plus", "MMCore", "device API", "module API"}
        assert facts["software"]["device API"].isdigit()
        return
    document = ome_types.from_tiff(output)
    (image,), (instrument,) = document.images, document.instruments
    assert image.acquisition_date == began[0]
    assert (image.pixels.size_y, image.pixels.size_x) == (12, 16)
    assert image.pixels.channels[0].detector_settings.binning.value == "2x2"
    (objective,) = instrument.objectives
    assert (objective.nominal_magnification, objective.calibrated_magnification) == (60, 96)
    assert (objective.lens_na, objective.immersion.value) == (1.4, "Oil")
    assert image.objective_settings.id == objective.id
    assert "MMCore" in instrument.microscope.model


def test_file_set_shares_microscope_metadata(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """The size of the OME-XML is linear in the number of files."""
    writer = MDAWriter(tmp_path / "x.ome.tiff", core=demo_core)
    demo_core.mda.run(useq.MDASequence(stage_positions=[(i, i) for i in range(4)]), output=writer)
    writer.result()
    first, *others = writer.stream.get_metadata().values()
    assert [image.instrument_ref.id for image in first.images] == ["Instrument:0"] * 4
    for model in others:
        assert model.instruments[0] is first.instruments[0]
        assert all(a is b for a, b in zip(model.images, first.images, strict=True))


@SUFFIXES
@WAYS
def test_planes_that_are_never_acquired(
    demo_core: CMMCorePlus, suffix: str, way: str, tmp_path: Path
) -> None:
    """A channel without a stack has one plane: its other planes have no metadata and occupy no disk space."""
    demo_core.mda.engine.use_hardware_sequencing = False
    output = tmp_path / f"x.ome.{suffix}"
    channels: Any = ["DAPI", {"config": "FITC", "do_stack": False}]
    sequence = useq.MDASequence(channels=channels, z_plan={"range": 4, "step": 1})
    check_delivered(output, sequence, run(demo_core, sequence, output, way))
    assert len(planes(output)) == 6
    if suffix == "zarr":
        chunks = sorted(
            p.relative_to(output / "0" / "c").as_posix()
            for p in (output / "0" / "c").rglob("*")
            if p.is_file()
        )
        assert chunks == [f"{c}/{z}/0/0" for c, z in [*((0, z) for z in range(5)), (1, 2)]]
        return
    document = ome_types.from_tiff(output)
    planes_written = [(p.the_c, p.the_z) for p in document.images[0].pixels.planes]
    assert planes_written == [*((0, z) for z in range(5)), (1, 2)]
    # Bio-Formats requires a page for each plane; planes that were not acquired read as 0.
    with tifffile.TiffFile(output) as file:
        shown = [bool(page.asarray().any()) for page in file.pages]
    assert shown == [True] * 5 + [False, False, True, False, False]


CHANGES: dict[str, Any] = {
    "roi": lambda core: core.setROI(0, 0, 16, 16),
    "binning": lambda core: core.setProperty("Camera", "Binning", "2"),
    "pixel type": lambda core: core.setProperty("Camera", "PixelType", "8bit"),
}


@SUFFIXES
@WAYS
@pytest.mark.parametrize("change", CHANGES)
def test_changed_camera_setting_is_refused(
    demo_core: CMMCorePlus, change: str, way: str, suffix: str, tmp_path: Path
) -> None:
    """The first frame after the change raises an error with the reason; earlier frames are saved."""
    core, output = demo_core, tmp_path / f"x.ome.{suffix}"
    core.mda.engine.use_hardware_sequencing = False
    sequence = useq.MDASequence(time_plan={"interval": 0, "loops": 5})
    frames: list[Any] = []

    def receive(image: np.ndarray, event: useq.MDAEvent) -> None:
        frames.append((dict(event.index), image.copy()))
        if event.index["t"] == 1:
            CHANGES[change](core)

    writer = MDAWriter(output, core=core)
    core.mda.events.frameReady.connect(receive)
    refused: BaseException | None = None
    try:
        core.mda.run(sequence, output=output if way == "path" else writer)
        if way == "writer":
            writer.result()
    except (ValueError, TypeError) as error:
        refused = error
    finally:
        core.mda.events.frameReady.disconnect(receive)
        restore(core)
    assert refused is not None
    words = ("uint16", "uint8") if change == "pixel type" else ("(32, 48)", "got (16,")
    assert all(word in str(refused) for word in words), refused
    if way == "writer":
        assert "2 frames before it are saved" in str(refused)
    (image,) = check_delivered(output, sequence, frames[:2])
    assert image.pixels.reshape(-1, 32, 48).shape[0] == 2


def test_engine_setup_error(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """If the engine fails before the first signal, the writer has no frames and creates no files."""
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    writer.sequenceFinished(useq.MDASequence())
    counts = writer.result(timeout=300)
    assert (counts.received, counts.written, counts.expected) == (0, 0, None)
    with pytest.raises(RuntimeError, match="run has not started"):
        writer.view()
    assert list(tmp_path.iterdir()) == []
