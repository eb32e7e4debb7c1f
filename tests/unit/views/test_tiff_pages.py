"""What a view of an OME-TIFF sees while another writes it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream

pytest.importorskip("tifffile", reason="it reads the pages")

import tifffile

from ome_writers.views.tiff_pages import LivePages

if TYPE_CHECKING:
    from pathlib import Path

FRAME = (4, 6)


def settings(root: Path, count: int | None, mode: str, compression: str) -> AcquisitionSettings:
    """Return the settings of two positions."""
    return AcquisitionSettings(
        root_path=root / "x.ome.tiff",
        dimensions=[
            Dimension(name="t", count=count, type="time"),
            Dimension(name="p", type="position", coords=["a", "b"]),
            Dimension(name="y", count=FRAME[0]),
            Dimension(name="x", count=FRAME[1]),
        ],
        dtype="uint16",
        compression=compression,
        flush_interval=1000,
        format={"name": "ome-tiff", "multi_file_metadata": mode},
    )


@pytest.mark.parametrize("mode", ["redundant", "master-tiff", "companion-file"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("count", [None, 20])
def test_what_was_flushed_is_seen_at_once(
    tmp_path: Path, count: int | None, compression: str, mode: str
) -> None:
    """A view that is open all the time shows each frame as soon as it was flushed, and zeros before."""
    asked = settings(tmp_path, count, mode, compression)
    with create_stream(asked) as stream:
        view = ome_writers.open(asked.output_path)
        for number in range(40):
            stream.append(np.full(FRAME, number + 1, np.uint16))
            stream.flush()
            seen = np.asarray(view).swapaxes(0, 1).reshape(-1, *FRAME)[:, 0, 0]
            there = [*range(1, number + 2), *[0] * (len(seen) - number - 1)]
            assert seen.tolist() == there
    assert np.asarray(view).shape == (2, 20, *FRAME)


def test_another_file_of_the_name_is_noticed(tmp_path: Path) -> None:
    """When the file was replaced the view shows what the new one holds."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.full((5, 8, 8), 1, np.uint8), metadata=None)
    pages = LivePages(path)
    first = pages.page(2)
    assert first is not None
    assert first.max() == 1
    path.unlink()
    tifffile.imwrite(path, np.full((2, 8, 8), 2, np.uint16), metadata=None)
    second = pages.page(1)
    assert second is not None
    assert second.dtype == np.uint16
    assert second.max() == 2
    assert pages.page(2) is None
    pages.close()


def test_a_ring_of_pages_has_an_end(tmp_path: Path) -> None:
    """In a broken file whose last page leads to the first, a page that is not there is soon known not to be."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 8), np.uint8), metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, *_, last = (page.offset for page in tiff.pages)
    with path.open("r+b") as raw:
        raw.seek(last)
        (entries,) = struct.unpack("<H", raw.read(2))
        raw.seek(last + 2 + entries * 12)
        raw.write(struct.pack("<I", first))
    pages = LivePages(path)
    assert pages.page(10**9) is None
    pages.close()
