"""Multi-camera acquisitions, with frames of equal and of different size and dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered, release_core
from adapters.pymmcore.stored import SUFFIXES, attributes, read
from ome_writers_pymmcore import MDAWriter, record

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")
pytest.importorskip("ome_types", reason="the validator of OME-XML")

import ome_types
import useq
from pymmcore_plus import CMMCorePlus, find_micromanager
from pymmcore_plus.mda import MDAEngine

from adapters.pymmcore.cameras import TurnsEngine, WholeBurstsEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if not find_micromanager():
    pytest.skip("mm-test-adapters is not installed", allow_module_level=True)
pytestmark = pytest.mark.camera

LABELS = ["Camera-1", "Camera-2"]
STACK = {"range": 2, "step": 1}


@pytest.fixture(scope="module")
def two() -> Iterator[CMMCorePlus]:
    """Return a core with two demo cameras behind the adapter of Micro-Manager's Utilities."""
    core = CMMCorePlus()
    core.mda.set_engine(WholeBurstsEngine(core))
    core.loadSystemConfiguration()
    core.unloadDevice("Camera")
    for label in LABELS:
        core.loadDevice(label, "DemoCamera", "DCam")
        core.initializeDevice(label)
        core.setProperty(label, "OnCameraCCDXSize", 48)
        core.setProperty(label, "OnCameraCCDYSize", 32)
        core.setProperty(label, "PixelType", "16bit")
        core.setProperty(label, "Mode", "Noise")
    core.loadDevice("Both", "Utilities", "Multi Camera")
    core.initializeDevice("Both")
    for number, label in enumerate(LABELS):
        core.setProperty("Both", f"Physical Camera {number + 1}", label)
    core.setCameraDevice("Both")
    core.setExposure(1)
    yield core
    release_core(core)


@pytest.fixture(params=[True, False], ids=["sequenced", "snapped"])
def both(request: pytest.FixtureRequest, two: CMMCorePlus) -> CMMCorePlus:
    """Return the core with both cameras selected, with and without hardware sequences."""
    two.setCameraDevice("Both")
    two.mda.engine.use_hardware_sequencing = request.param
    return two


@SUFFIXES
def test_two_cameras_become_channels(both: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """With t, c and z, each event has one frame per camera, and channel names end with the camera label."""
    seq = useq.MDASequence(
        time_plan={"interval": 0, "loops": 2}, channels=["DAPI", "FITC"], z_plan=STACK
    )
    output = tmp_path / f"x.ome.{suffix}"
    writer = MDAWriter(output, core=both)
    with delivered(both) as frames:
        both.mda.run(seq, output=writer)
    counts = writer.result()
    assert (counts.received, counts.expected, counts.dropped) == (24, 24, 0)
    (image,) = read(output)
    expected = np.zeros((2, 4, 3, 32, 48), "uint16")
    for index, frame in frames:
        expected[index["t"], 2 * index["c"] + index["cam"], index["z"]] = frame
    np.testing.assert_array_equal(image.pixels, expected)
    names = [f"{channel} / {label}" for channel in ("DAPI", "FITC") for label in LABELS]
    if suffix == "zarr":
        channels = attributes(output)["ome"]["omero"]["channels"]
        assert [channel["label"] for channel in channels] == names
        return
    document = ome_types.from_tiff(output)
    pixels = document.images[0].pixels
    assert [channel.name for channel in pixels.channels] == names
    detectors = [d.id for d in document.instruments[0].detectors]
    assert [c.detector_settings.id for c in pixels.channels] == [*detectors, *detectors]


@SUFFIXES
def test_two_cameras_at_two_positions(two: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """Seven axes in total (t, p, c, z, camera, y, x)."""
    two.setCameraDevice("Both")
    two.mda.engine.use_hardware_sequencing = False
    seq = useq.MDASequence(
        time_plan={"interval": 0, "loops": 2},
        stage_positions=[(0, 0), (9, 9)],
        channels=["DAPI", "FITC"],
        z_plan=STACK,
    )
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=two)
    with delivered(two) as frames:
        two.mda.run(seq, output=writer)
    assert writer.result().written == len(frames) == 48
    assert writer.view().dims == ("t", "p", "c", "z", "cam", "y", "x")
    images = [image.pixels for image in read(tmp_path / f"x.ome.{suffix}")]
    assert [image.shape for image in images] == [(2, 4, 3, 32, 48)] * 2
    for index, frame in frames:
        at = (index["t"], 2 * index["c"] + index["cam"], index["z"])
        np.testing.assert_array_equal(images[index["p"]][at], frame)


@SUFFIXES
def test_two_cameras_without_channel_plan(both: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """The cameras are the channels."""
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=both)
    with delivered(both) as frames:
        both.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 4}), output=writer)
    writer.result()
    (image,) = read(tmp_path / f"x.ome.{suffix}")
    pixels = image.pixels.reshape(4, 2, 32, 48)
    for index, frame in frames:
        np.testing.assert_array_equal(pixels[index["t"], index["cam"]], frame)


@SUFFIXES
def test_two_cameras_with_sink_of_pymmcore_plus(
    both: CMMCorePlus, suffix: str, tmp_path: Path
) -> None:
    """``mda.run(output=path)`` stores the cameras as channels as well."""
    with delivered(both) as frames:
        both.mda.run(
            useq.MDASequence(time_plan={"interval": 0, "loops": 4}),
            output=tmp_path / f"x.ome.{suffix}",
        )
    (image,) = read(tmp_path / f"x.ome.{suffix}")
    pixels = image.pixels.reshape(4, 2, 32, 48)
    for index, frame in frames:
        np.testing.assert_array_equal(pixels[index["t"], index["cam"]], frame)


@SUFFIXES
def test_record_two_cameras_into_one_buffer(two: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """Frames are assigned to their camera in any order of arrival."""
    two.setCameraDevice("Both")
    taken: dict[tuple[str, str], np.ndarray] = {}
    pop = two.popNextImageAndMD

    def popping(*args: Any, **kwargs: Any) -> Any:
        image, tags = pop(*args, **kwargs)
        taken[tags["Camera"], tags["ImageNumber"]] = image.copy()
        return image, tags

    two.popNextImageAndMD = popping
    try:
        counts = record(two, tmp_path / f"x.ome.{suffix}", n_frames=6, progress=False)
    finally:
        del two.popNextImageAndMD
    assert (counts.received, counts.expected, counts.dropped) == (12, 12, 0)
    (image,) = read(tmp_path / f"x.ome.{suffix}")
    pixels = image.pixels.reshape(6, 2, 32, 48)
    assert len(taken) == 12
    for (label, number), frame in taken.items():
        np.testing.assert_array_equal(pixels[int(number), LABELS.index(label)], frame)


@pytest.fixture
def unlike(two: CMMCorePlus) -> Iterator[CMMCorePlus]:
    """Return the core with cameras of different size and dtype, of which an engine snaps with each in turn."""
    two.setCameraDevice(LABELS[0])
    two.setProperty(LABELS[1], "OnCameraCCDXSize", 20)
    two.setProperty(LABELS[1], "PixelType", "8bit")
    before = two.mda.set_engine(TurnsEngine(two, LABELS))
    yield two
    two.mda.set_engine(before)
    two.setCameraDevice(LABELS[0])
    two.setProperty(LABELS[1], "OnCameraCCDXSize", 48)
    two.setProperty(LABELS[1], "PixelType", "16bit")


@SUFFIXES
@pytest.mark.parametrize("named", [None, LABELS], ids=["joined", "named"])
def test_cameras_of_different_format_have_an_image_each(
    unlike: CMMCorePlus, suffix: str, named: list[str] | None, tmp_path: Path
) -> None:
    """Cameras of different size and dtype are separate images of one dataset, named in advance or not."""
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 3}, channels=["DAPI", "FITC"])
    output = tmp_path / f"x.ome.{suffix}"
    writer = MDAWriter(output, core=unlike, cameras=named)
    with delivered(unlike) as frames:
        unlike.mda.run(seq, output=writer)
    counts = writer.result()
    assert (counts.received, counts.written, counts.expected, counts.dropped) == (12, 12, 12, 0)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    check_an_image_each(output, frames)
    if suffix == "zarr":
        bits = [
            attributes(output / str(n))["ome"]["omero"]["channels"][0]["window"]["max"]
            for n in range(2)
        ]
        assert bits == [2**16 - 1, 2**8 - 1]
        return
    document = ome_types.from_tiff(output)
    detectors = [d.id for d in document.instruments[0].detectors]
    for image, label, detector, bits in zip(
        document.images, LABELS, detectors, (16, 8), strict=True
    ):
        assert (image.name, image.pixels.significant_bits) == (label, bits)
        assert [c.name for c in image.pixels.channels] == ["DAPI", "FITC"]
        assert {c.detector_settings.id for c in image.pixels.channels} == {detector}


def check_an_image_each(output: Path, frames: Any) -> None:
    """Assert that each camera has a separate image with its own frames."""
    images = [image.pixels.reshape(3, 2, 32, -1) for image in read(output)]
    assert [image.shape for image in images] == [(3, 2, 32, 48), (3, 2, 32, 20)]
    assert [image.dtype for image in images] == [np.uint16, np.uint8]
    assert len(frames) == 12
    for index, frame in frames:
        np.testing.assert_array_equal(images[index["cam"]][index["t"], index["c"]], frame)


@SUFFIXES
def test_cameras_of_different_format_with_sink_of_pymmcore_plus(
    unlike: CMMCorePlus, suffix: str, tmp_path: Path
) -> None:
    """The sink of ``mda.run(output=path)`` knows the number of cameras and the frame format of the first one."""

    class CountedEngine(TurnsEngine):
        def setup_sequence(self, sequence: useq.MDASequence) -> Any:
            meta = super().setup_sequence(sequence)
            meta["image_infos"][0]["num_camera_adapter_channels"] = 2
            return meta

    unlike.mda.set_engine(CountedEngine(unlike, LABELS))
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 3}, channels=["DAPI", "FITC"])
    with delivered(unlike) as frames, pytest.warns(UserWarning, match="Multi-camera acquisition"):
        unlike.mda.run(seq, output=tmp_path / f"x.ome.{suffix}")
    check_an_image_each(tmp_path / f"x.ome.{suffix}", frames)


def test_unnamed_camera_after_first_event_ends_the_run(unlike: CMMCorePlus, tmp_path: Path) -> None:
    """The error lists the `cameras` argument to pass."""

    class LateEngine(TurnsEngine):
        def exec_single_event(self, event: useq.MDAEvent) -> Iterator[Any]:
            for one in super().exec_single_event(event):
                if one is None or event.index["t"] or not one[1].index["cam"]:
                    yield one

    unlike.mda.set_engine(LateEngine(unlike, LABELS))
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=unlike)
    unlike.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 3}), output=writer)
    with pytest.raises(ValueError, match=r"cameras=\['Camera-1', 'Camera-2'\]"):
        writer.result()
    assert read(tmp_path / "x.ome.zarr")[0].pixels.shape[0] == 2


@SUFFIXES
def test_channel_presets_that_select_cameras(
    unlike: CMMCorePlus, suffix: str, tmp_path: Path
) -> None:
    """Each camera's image contains the channels that the camera recorded."""
    for name, label in zip(("Wide", "Narrow"), LABELS, strict=True):
        unlike.defineConfig("Camera", name, "Core", "Camera", label)
    unlike.mda.set_engine(MDAEngine(unlike, use_hardware_sequencing=False))
    channels: Any = [{"group": "Camera", "config": name} for name in ("Wide", "Narrow")]
    seq = useq.MDASequence(
        time_plan={"interval": 0, "loops": 3}, channels=channels, z_plan=STACK, axis_order="tcz"
    )
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=unlike)
    try:
        with delivered(unlike) as frames:
            unlike.mda.run(seq, output=writer)
    finally:
        unlike.deleteConfigGroup("Camera")
    counts = writer.result()
    assert (counts.received, counts.expected, counts.dropped) == (18, 18, 0)
    images = [np.squeeze(image.pixels) for image in read(tmp_path / f"x.ome.{suffix}")]
    wide = images[0].reshape(3, -1, 3, 32, 48)
    narrow = images[1].reshape(3, -1, 3, 32, 20)
    for index, frame in frames:
        image = (wide, narrow)[index["c"]]
        np.testing.assert_array_equal(image[index["t"], index["c"], index["z"]], frame)
    assert not narrow[:, 0].any()
