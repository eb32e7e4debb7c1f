"""Bio-Formats reads every resolution level of an OME-TIFF, while it is written and afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import Dimension, Pyramid

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = np.random.default_rng(0).integers(1, 2**16, (5, 301, 405)).astype("uint16")


def read_levels(path: Path) -> list[list[np.ndarray[Any, Any]]]:
    """Return the planes of each level, by series."""
    from jpype import JClass

    reader = JClass("loci.formats.ImageReader")()
    reader.setFlattenedResolutions(False)
    try:
        reader.setId(str(path))
        found = []
        for series in range(reader.getSeriesCount()):
            reader.setSeries(series)
            levels = []
            for level in range(reader.getResolutionCount()):
                reader.setResolution(level)
                shape = (reader.getImageCount(), reader.getSizeY(), reader.getSizeX())
                planes = [bytes(reader.openBytes(i)) for i in range(shape[0])]
                levels.append(np.frombuffer(b"".join(planes), "<u2").reshape(shape))
            found.append(levels)
        return found
    finally:
        reader.close()


@pytest.mark.parametrize("positions", [1, 2])
@pytest.mark.parametrize(("frames", "compression"), [(5, None), (None, "deflate")])
def test_levels(
    tmp_path: Path, positions: int, frames: int | None, compression: str | None
) -> None:
    path = tmp_path / "run.ome.tiff"
    dimensions = [
        Dimension(name="t", count=frames),
        *([Dimension(name="p", type="position", coords=["a", "b"])] if positions > 1 else []),
        Dimension(name="y", count=301, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=405, scale=0.5, unit="micrometer"),
    ]
    with omew.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        compression=compression,
        pyramid=Pyramid(levels=3, method="decimate"),
    ) as stream:
        for t in range(3):
            for _ in range(positions):
                stream.append(FRAMES[t])
        stream.flush()
        written = read_levels(path)
        for t in (3, 4):
            for _ in range(positions):
                stream.append(FRAMES[t])
    for frames_written, images in ((3, written), (5, read_levels(path))):
        assert len(images) == positions
        for levels in images:
            assert len(levels) == 4
            for k, level in enumerate(levels):
                expected = FRAMES[:frames_written, :: 2**k, :: 2**k]
                np.testing.assert_array_equal(level[:frames_written], expected)
