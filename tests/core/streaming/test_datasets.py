"""`OMEStream.datasets`: paths, shapes and dtypes of the arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import Dimension

if TYPE_CHECKING:
    from pathlib import Path

FRAME = [Dimension(name=name, count=8) for name in "yx"]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_datasets_are_what_read_finds_after_close(tmp_path: Path, suffix: str) -> None:
    positions = Dimension(name="p", type="position", count=2)
    dimensions = [Dimension(name="t", count=3), positions, *FRAME]
    stream = omew.create_stream(
        root_path=tmp_path / f"run{suffix}", dimensions=dimensions, dtype="uint16"
    )
    planned = stream.datasets()
    assert [array.shape for array in planned] == [(3, 8, 8)] * 2
    for array in planned:
        assert url2pathname(unquote(urlsplit(array.uri).path)) == str(array.path)
        assert array.path.exists()
    for number in range(4):
        stream.append(np.full((8, 8), number, "uint16"))
    stream.close()
    assert [array.shape for array in stream.datasets()] == [(2, 8, 8)] * 2
    root = planned[0].path.parents[1] if suffix == ".ome.zarr" else planned[0].path.parent
    assert tuple(omew.read(root).arrays()) == stream.datasets()


def test_unbounded_axis_has_the_extent_of_the_last_flush(tmp_path: Path) -> None:
    dimensions = [Dimension(name="t", count=None), *FRAME]
    with omew.create_stream(
        root_path=tmp_path / "run.ome.zarr", dimensions=dimensions, dtype="uint16"
    ) as stream:
        for number in range(4):
            stream.append(np.full((8, 8), number, "uint16"))
        stream.flush()
        (array,) = stream.datasets()
        assert array.shape == (4, 8, 8)
        assert (array.dims, array.dtype, array.chunks) == (("t", "y", "x"), "uint16", (1, 8, 8))
