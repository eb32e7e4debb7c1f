"""What a view of an OME-TIFF sees while another writes it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream, dims_from_standard_axes

pytest.importorskip("tifffile", reason="it reads the pages")

import tifffile

from ome_writers.errors import InvalidFileError
from ome_writers.formats.ometiff import read_ome_xml
from ome_writers.views.file_changes import FileChanges
from ome_writers.views.live_pages import LivePages

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


def test_ring_of_pages_is_refused(tmp_path: Path) -> None:
    """The last directory leads to the first: a page beyond them is an error, the pages themselves are read."""
    path = tmp_path / "x.tif"
    planes = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    tifffile.imwrite(path, planes, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, *_, last = (page.offset for page in tiff.pages)
    with path.open("r+b") as raw:
        raw.seek(last)
        (entries,) = struct.unpack("<H", raw.read(2))
        raw.seek(last + 2 + entries * 12)
        raw.write(struct.pack("<I", first))
    pages = LivePages(path)
    for _ in range(2):  # the error is not lost when the page is asked for again
        with pytest.raises(InvalidFileError, match=r"x\.tif: the IFD chain is a loop at"):
            pages.page(10**9)
    assert [page.max() for n in range(5) if (page := pages.page(n)) is not None] == list(range(5))
    pages.close()


def test_time_axis_without_planned_end_is_kept(tmp_path: Path) -> None:
    """An OME-TIFF that was begun without a planned number of frames has its time axis from the first frame on."""
    path = tmp_path / "run.ome.tiff"
    dimensions = dims_from_standard_axes({"t": None, "y": 8, "x": 8})
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    with create_stream(settings) as stream:
        stream.append(np.ones((8, 8), "uint8"))
        stream.flush()
        assert ome_writers.open(path).dims == ("t", "y", "x")
    assert ome_writers.open(path).shape == (1, 8, 8)


def test_document_that_is_being_written_is_never_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OME-XML with the status ``writing`` is read again however long ago it changed; a complete one is not."""
    path = tmp_path / "run.ome.tiff"
    dimensions = dims_from_standard_axes({"t": 2, "y": 8, "x": 8})
    stream = create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    )
    now = [100.0]
    monkeypatch.setattr("ome_writers.views.file_changes.time.monotonic", lambda: now[0])
    for differs in (True, False):
        freshness = FileChanges(path)
        assert freshness.may_differ()
        now[0] += 100
        assert freshness.may_differ()
        freshness.read(read_ome_xml(path))
        assert freshness.may_differ() is differs
        monkeypatch.undo()
        stream.close()
        monkeypatch.setattr("ome_writers.views.file_changes.time.monotonic", lambda: now[0])
