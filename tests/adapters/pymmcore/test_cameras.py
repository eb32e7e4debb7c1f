"""Several cameras, cameras of several sizes, and cameras that see colours."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.runs import delivered, let_go
from adapters.pymmcore.stored import attributes, read
from ome_writers_pymmcore import MDAWriter, record

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")
pytest.importorskip("ome_types", reason="the validator of OME-XML")

import ome_types
import tifffile
import useq
from pymmcore_plus import CMMCorePlus, find_micromanager
from pymmcore_plus.mda import MDAEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if not find_micromanager():
    pytest.skip("mm-test-adapters is not installed", allow_module_level=True)
pytestmark = pytest.mark.camera

SUFFIXES = pytest.mark.parametrize("suffix", ["zarr", "tiff"])
LABELS = ["Camera-1", "Camera-2"]
STACK = {"range": 2, "step": 1}


@pytest.fixture(scope="module")
def two() -> Iterator[CMMCorePlus]:
    """Return a core with two demo cameras behind the adapter of Micro-Manager's Utilities."""
    core = CMMCorePlus()
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
    let_go(core)


@pytest.fixture(params=[True, False], ids=["sequenced", "snapped"])
def both(request: pytest.FixtureRequest, two: CMMCorePlus) -> CMMCorePlus:
    """Return the core with both cameras selected, with and without hardware sequences."""
    two.setCameraDevice("Both")
    two.mda.engine.use_hardware_sequencing = request.param
    return two


@SUFFIXES
def test_two_cameras(both: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """With t, c and z, each event has a frame of each camera, and the channels carry the cameras' names."""
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
def test_two_cameras_without_channels(both: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """Without a channel plan the cameras are the channels."""
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=both)
    with delivered(both) as frames:
        both.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 4}), output=writer)
    writer.result()
    (image,) = read(tmp_path / f"x.ome.{suffix}")
    pixels = image.pixels.reshape(4, 2, 32, 48)
    for index, frame in frames:
        np.testing.assert_array_equal(pixels[index["t"], index["cam"]], frame)


@SUFFIXES
def test_two_cameras_by_the_clients_own_sink(
    both: CMMCorePlus, suffix: str, tmp_path: Path
) -> None:
    """pymmcore-plus' own output= folds the cameras into channels as well."""
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
def test_a_burst_of_two_cameras(two: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """Frames that two cameras deliver into one buffer, in any order, are told apart."""
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


class TurnsEngine(MDAEngine):
    """An engine that snaps with each camera in turn, however large its frames."""

    def exec_single_event(self, event: useq.MDAEvent) -> Iterator[Any]:
        for number, label in enumerate(LABELS):
            self.mmcore.setCameraDevice(label)
            for image, _, meta in super().exec_single_event(event):
                own = event.model_copy(update={"index": {**event.index, "cam": number}})
                yield image, own, {**meta, "camera_device": label}
        self.mmcore.setCameraDevice(LABELS[0])


@SUFFIXES
def test_cameras_of_different_size(two: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """A camera whose frames have another size and dtype has an image of its own beside the first."""
    two.setCameraDevice(LABELS[0])
    two.setProperty(LABELS[1], "OnCameraCCDXSize", 20)
    two.setProperty(LABELS[1], "PixelType", "8bit")
    before = two.mda.set_engine(TurnsEngine(two, use_hardware_sequencing=False))
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 3}, channels=["DAPI", "FITC"])
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=two)
    try:
        with delivered(two) as frames:
            two.mda.run(seq, output=writer)
    finally:
        two.mda.set_engine(before)
        two.setProperty(LABELS[1], "OnCameraCCDXSize", 48)
        two.setProperty(LABELS[1], "PixelType", "16bit")
    assert writer.result().received == 12
    (first,) = read(tmp_path / f"x.ome.{suffix}")
    (second,) = read(tmp_path / f"x_Camera-2.ome.{suffix}")
    shapes = [tuple(n for n in image.pixels.shape if n != 1) for image in (first, second)]
    assert shapes == [(3, 2, 32, 48), (3, 2, 32, 20)]
    images = [image.pixels.reshape(3, 2, 32, -1) for image in (first, second)]
    for index, frame in frames:
        found = images[index["cam"]][index["t"], index["c"]]
        np.testing.assert_array_equal(found, frame)
    assert second.pixels.dtype == np.uint8


@pytest.fixture
def colour(demo_core: CMMCorePlus) -> Iterator[CMMCorePlus]:
    """Return the demo camera as one that sees colours."""
    demo_core.setProperty("Camera", "PixelType", "32bitRGB")
    demo_core.setProperty("Camera", "Mode", "Color Test Pattern")
    yield demo_core
    demo_core.setProperty("Camera", "PixelType", "16bit")
    demo_core.setProperty("Camera", "Mode", "Noise")


@SUFFIXES
@pytest.mark.parametrize("way", ["path", "writer", "buffer"])
def test_colours(colour: CMMCorePlus, suffix: str, way: str, tmp_path: Path) -> None:
    """Red, green and blue stay what they are: samples in OME-TIFF, three channels in OME-Zarr."""
    output = tmp_path / f"x.ome.{suffix}"
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 3})
    colour.snapImage()
    pattern = colour.getImage()
    assert len(np.unique(pattern.reshape(-1, 3), axis=0)) > 3, "a grey pattern proves nothing"
    frames = [pattern] * 3
    if way == "buffer":
        assert record(colour, output, n_frames=3, progress=False).written == 3
    else:
        target: Any = output
        if way == "writer":
            target = MDAWriter(output, core=colour)
        with delivered(colour) as came:
            colour.mda.run(seq, output=target)
        frames = [frame for _, frame in came]
    if suffix == "zarr":
        (image,) = read(output)
        found = np.moveaxis(image.pixels, -3, -1)
        if find_spec("zarr"):
            import zarr

            pixels = zarr.open_array(output / "0", mode="r")
            np.testing.assert_array_equal(pixels[:], image.pixels)
        labels = [c["label"] for c in attributes(output)["ome"]["omero"]["channels"]]
        assert labels == ["Red", "Green", "Blue"]
    else:
        found = tifffile.imread(output)
        document = ome_types.from_tiff(output)
        assert document.images[0].pixels.channels[0].samples_per_pixel == 3
    np.testing.assert_array_equal(found.reshape(3, *pattern.shape), frames)
