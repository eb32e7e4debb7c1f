"""Chunks that were cut or extended are refused before they are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ome_writers
from ome_writers import codecs, create_stream, dims_from_standard_axes


@pytest.mark.parametrize("change", ["cut to its header", "one byte shorter", "one byte longer"])
@pytest.mark.parametrize(
    "compression", [name for name in codecs.ZARR_COMPRESSIONS if name != "none"]
)
def test_chunk_of_another_length_is_not_read_as_pixels(
    tmp_path: Path, compression: str, change: str
) -> None:
    """Noise, which Blosc stores as it is: its decoder reads beyond the end of such a chunk."""
    noise = np.random.default_rng(1).integers(0, 2**16, (2, 32, 48), dtype=np.uint16)
    path = tmp_path / "a.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 2, "y": 32, "x": 48})
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", compression=compression
    ) as stream:
        for frame in noise:
            stream.append(frame)
    chunk = path / "0" / "c" / "1" / "0" / "0"
    stored = chunk.read_bytes()
    changed = {
        "cut": stored[:16],
        "one byte shorter": stored[:-1],
        "one byte longer": stored + b"1",
    }
    chunk.write_bytes(changed.get(change) or changed["cut"])
    view = ome_writers.open(path)
    assert (view[0] == noise[0]).all()
    with pytest.raises(OSError, match="chunk"):
        view[1]
    assert not ome_writers.validate(path).valid
