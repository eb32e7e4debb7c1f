"""`read` of datasets that other programs wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as omew

DATA = Path(__file__).parents[1] / "data"
PIXELS = np.arange(2 * 3 * 8 * 8, dtype="uint16").reshape(2, 3, 8, 8)


@pytest.mark.parametrize("version", ["0.4", "0.6"])
@pytest.mark.parametrize("name", ["ngff-zarr-0.50", "ome-zarr-py-0.21"])
def test_read_ome_zarr_of_other_programs(name: str, version: str) -> None:
    """Version, axes, levels with scale and translation, and channels; the datasets are made by ``data/make.py``."""
    path = DATA / f"{name}{'-v0.4' if version == '0.4' else ''}.ome.zarr"
    spec = omew.read(path)
    assert np.array_equal(np.asarray(omew.open(path)), PIXELS)
    (image,) = spec.images
    assert (spec.format, spec.version, spec.layout) == (
        "ome-zarr-0.4" if version == "0.4" else "ome-zarr",
        version,
        "image",
    )
    assert [(axis.name, axis.type, axis.unit) for axis in image.axes] == [
        ("c", "channel", None),
        *((name, "space", "micrometer") for name in "zyx"),
    ]
    full, half = image.levels
    assert (full.shape, full.dtype, full.scale) == ((2, 3, 8, 8), "uint16", (None, 2, 0.5, 0.5))
    assert half.shape[-2:] == (4, 4)
    assert half.scale[-2:] == (1, 1)
    offset = np.subtract(half.translation[-2:], full.translation[-2:])
    assert offset.tolist() == [0.25, 0.25]
    if name.startswith("ngff"):
        assert full.translation == (0, 1, 10, 20)
    else:
        assert [channel.name for channel in image.channels] == ["DAPI", "FITC"]


def test_read_ome_tiff_of_tifffile(tmp_path: Path) -> None:
    """Axes, physical sizes, channel names and compression of a file that tifffile wrote."""
    tifffile = pytest.importorskip("tifffile", reason="tifffile writes the file")
    path = tmp_path / "other.ome.tiff"
    metadata: dict[str, Any] = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 2.0,
        "Channel": {"Name": ["DAPI", "FITC"]},
    }
    tifffile.imwrite(path, PIXELS, metadata=metadata, compression="zlib")
    spec = omew.read(path)
    (image,) = spec.images
    assert image.dims == ("c", "z", "y", "x")
    assert image.levels[0].scale == (None, 2, 0.5, 0.5)
    assert image.levels[0].compression == "deflate"
    assert [channel.name for channel in image.channels] == ["DAPI", "FITC"]
    assert [d.name for d in spec.dimensions] == ["c", "z", "y", "x"]
    assert (spec.status, spec.settings) == (None, None)
    assert spec.written_by is not None
    assert spec.written_by.startswith("tifffile")
