"""Bio-Formats and tifffile read labels and projections of an OME-TIFF, each as one image in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension
from support.bioformats import read

if TYPE_CHECKING:
    from pathlib import Path

T, C, Z, Y, X = 3, 2, 2, 32, 48
FRAMES = np.random.default_rng(0).integers(1, 2**16, (T, C, Z, Y, X)).astype("uint16")
MASKS = (FRAMES[:, 0] > 2**15) * np.uint32(100_000)


@pytest.mark.parametrize("levels", [0, 1])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_labels_and_projections(tmp_path: Path, compression: Any, levels: int) -> None:
    """Also labels that are added afterwards, and all of them while the stream is open."""
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "run.ome.tiff"
    dimensions = [Dimension(name=n, count=k) for n, k in zip("tcz", (T, C, Z), strict=True)]
    dimensions += [
        Dimension(name=n, count=k, scale=0.25, unit="micrometer") for n, k in (("y", Y), ("x", X))
    ]
    expected = {
        "run": FRAMES,
        "run_cells": MASKS[:, None],
        "run_max_z": FRAMES.max(axis=2, keepdims=True),
    }
    with ome_writers.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        compression=compression,
        pyramid={"levels": levels} if levels else None,
    ) as stream:
        cells = stream.derive("cells")
        stream.project("max")
        for t, c, z in np.ndindex(T, C, Z):
            stream.append(FRAMES[t, c, z])
            if c == 0:
                cells.append(MASKS[t, z], index={"t": t, "z": z})
        stream.flush()
        for name, pixels in expected.items():
            (image,) = read(tmp_path / f"{name}.ome.tiff")
            assert np.array_equal(image.pixels, pixels), name
    ome_writers.add_labels(path, "later", MASKS.astype("uint8"))
    expected["run_later"] = MASKS.astype("uint8")[:, None]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"{name}.ome.tiff" for name in sorted(expected)
    ]
    for name, pixels in expected.items():
        file = tmp_path / f"{name}.ome.tiff"
        (image,) = read(file)
        assert np.array_equal(image.pixels, pixels), name
        assert image.pixels.dtype == pixels.dtype
        assert image.facts["PhysicalSizeX"] == 0.25
        if levels and name in ("run_cells", "run_later"):
            (smaller,) = read(file, 1)
            assert np.array_equal(smaller.pixels, pixels[..., ::2, ::2])
        with tifffile.TiffFile(file) as tiff:
            (series,) = tiff.series
            assert np.array_equal(series.asarray().squeeze(), pixels.squeeze()), name
