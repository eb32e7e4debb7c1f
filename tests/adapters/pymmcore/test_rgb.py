"""RGB cameras."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered
from adapters.pymmcore.stored import SUFFIXES, attributes, read
from ome_writers_pymmcore import MDAWriter, record

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
def test_rgb_frames(colour: CMMCorePlus, suffix: str, way: str, tmp_path: Path) -> None:
    """RGB is stored as samples in OME-TIFF, and as three channels in OME-Zarr."""
    output = tmp_path / f"x.ome.{suffix}"
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 3})
    colour.snapImage()
    pattern = colour.getImage()
    assert len(np.unique(pattern.reshape(-1, 3), axis=0)) > 3, "the pattern must have colours"
    frames = [pattern] * 3
    if way == "buffer":
        assert record(colour, output, n_frames=3, progress=False).written == 3
    else:
        target: Any = output
        if way == "writer":
            target = MDAWriter(output, core=colour)
        with delivered(colour) as received:
            colour.mda.run(seq, output=target)
        frames = [frame for _, frame in received]
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


@SUFFIXES
@pytest.mark.parametrize("way", ["path", "writer"])
def test_rgb_frames_of_16_bits(
    demo_core: CMMCorePlus, suffix: str, way: str, tmp_path: Path
) -> None:
    """Frames of a 64-bit RGB pixel type are stored unchanged, also with a plain path as output."""
    output = tmp_path / f"x.ome.{suffix}"
    demo_core.setProperty("Camera", "PixelType", "64bitRGB")
    try:
        demo_core.snapImage()
        if abs(demo_core.getImage().strides[1]) > demo_core.getBytesPerPixel():
            pytest.skip(
                "pymmcore-nano 12.5 doubles the strides: its frames end behind their memory"
            )
        target: Any = output if way == "path" else MDAWriter(output, core=demo_core)
        with delivered(demo_core) as received:
            demo_core.mda.run(
                useq.MDASequence(time_plan={"interval": 0, "loops": 3}), output=target
            )
    finally:
        demo_core.setProperty("Camera", "PixelType", "16bit")
    frames = [frame for _, frame in received]
    assert {(f.dtype.name, f.shape[2:]) for f in frames} == {("uint16", (3,))}
    if suffix == "zarr":
        (image,) = read(output)
        found = np.moveaxis(image.pixels, -3, -1)
    else:
        found = tifffile.imread(output)
    np.testing.assert_array_equal(found.reshape(3, *frames[0].shape), frames)


def test_read_only_and_reversed_rgb_arrays(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """Read-only frames, and frames with reversed samples (BGR memory), are stored with the values of the array."""
    rng = np.random.default_rng(0)
    stored = [rng.integers(0, 255, (32, 48, 3)).astype("uint8") for _ in range(3)]
    frames = [pixels[..., ::-1] for pixels in stored]
    for frame in frames:
        frame.flags.writeable = False
        assert frame.strides[-1] < 0
    demo_core.setProperty("Camera", "PixelType", "32bitRGB")
    try:
        sequence = useq.MDASequence(time_plan={"interval": 0, "loops": 3})
        summary = demo_core.mda.engine.setup_sequence(sequence)
        writer = MDAWriter(tmp_path / "x.ome.tiff", core=demo_core)
        writer.sequenceStarted(sequence, summary)
        for event, frame in zip(sequence, frames, strict=True):
            writer.frameReady(frame, event, {})
        writer.sequenceFinished(sequence)
    finally:
        demo_core.setProperty("Camera", "PixelType", "16bit")
    assert writer.result().written == 3
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "x.ome.tiff"), frames)
