"""Views of an OME-TIFF while it is written."""

from __future__ import annotations

import itertools
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream, dims_from_standard_axes

pytest.importorskip("tifffile", reason="tifffile reads the pages")

import tifffile

from ome_writers.errors import InvalidFileError
from ome_writers.formats.ometiff import read_ome_xml
from ome_writers.formats.ometiff.tiff_pages import ChangeDetector, CompleteReads, TiffPages
from support.sweeps import swept

if TYPE_CHECKING:
    from pathlib import Path

FRAME = (4, 6)
MODES = ("redundant", "master-tiff", "companion-file")


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


@pytest.mark.parametrize(
    "case",
    swept(
        itertools.product((None, 6), ("none", "zstd"), MODES),
        lambda case: (case[0] is None) ^ (case[1] == "none") ^ MODES.index(case[2]) % 2,
        lambda case: "-".join(map(str, case)),
    ),
)
def test_open_view_shows_flushed_frames_immediately(
    tmp_path: Path, case: tuple[int | None, str, str]
) -> None:
    count, compression, mode = case
    written_with = settings(tmp_path, count, mode, compression)
    with create_stream(written_with) as stream:
        view = ome_writers.open(written_with.output_path)
        for number in range(12):
            stream.append(np.full(FRAME, number + 1, np.uint16))
            stream.flush()
            planes = np.asarray(view).reshape(-1, *FRAME)[:, 0, 0]
            written = [*range(1, number + 2), *[0] * (len(planes) - number - 1)]
            assert planes.tolist() == written
    assert np.asarray(view).shape == (6, 2, *FRAME)


def test_replaced_file_is_reopened(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.full((5, 8, 8), 1, np.uint8), metadata=None)
    pages = TiffPages(path)
    first = pages.page(2)
    assert first is not None
    assert first.max() == 1
    if os.name == "nt":  # Windows does not remove a file that is open
        pages.close()
    path.unlink()
    tifffile.imwrite(path, np.full((2, 8, 8), 2, np.uint16), metadata=None)
    second = pages.page(1)
    assert second is not None
    assert second.dtype == np.uint16
    assert second.max() == 2
    assert pages.page(2) is None
    pages.close()


LAYOUTS = {
    "strips": {"rowsperstrip": 3},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "zlib", "rowsperstrip": 3},
    "predictor": {"compression": "zlib", "predictor": True},
    "contiguous samples": {"photometric": "rgb"},
    "separate samples": {"photometric": "rgb", "planarconfig": "separate"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64", "float16", "bool"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_pages_of_other_programs(tmp_path: Path, layout: str, dtype: str, byteorder: str) -> None:
    options: dict[str, Any] = LAYOUTS[layout]
    if "predictor" in options and dtype in ("complex64", "bool"):
        pytest.skip("tifffile does not write a predictor of this dtype")
    shape = (9, 7)
    if "photometric" in options:
        shape = (3, *shape) if "planarconfig" in options else (*shape, 3)
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, byteorder=byteorder, metadata=None, **options)
    pages = TiffPages(path)
    page = pages.page(0)
    pages.close()
    with tifffile.TiffFile(path) as tiff:
        expected = tiff.pages[0].asarray()
    assert page is not None
    assert (page.shape, page.dtype.name) == (expected.shape, expected.dtype.name)
    assert np.array_equal(page, expected)


def test_reads_that_the_system_shortens_are_continued() -> None:
    """As those of planes of 2 GiB and more: a pipe, too, returns what it has."""
    source, target = os.pipe()
    with CompleteReads(source) as file, open(target, "wb", buffering=0) as pipe:
        pipe.write(b"some")
        with ThreadPoolExecutor(1) as pool:
            content = pool.submit(file.read, 6)
            pipe.write(b" pixel values")
            assert content.result() == b"some p"
        buffer = np.zeros(4, np.uint16)
        assert file.readinto(buffer) == 8
        assert buffer.tobytes() == b"ixel val"
        pipe.close()
        assert file.readinto(buffer) == 3
        assert file.read(2) == b""


def test_ifd_loop_is_refused(tmp_path: Path) -> None:
    """The last IFD refers to the first. The pages before it are readable, a later page is an error."""
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
    pages = TiffPages(path)
    for _ in range(2):  # the error is not lost when the page is written_with for again
        with pytest.raises(InvalidFileError, match=r"x\.tif: the IFD chain is a loop at"):
            pages.page(10**9)
    assert [page.max() for n in range(5) if (page := pages.page(n)) is not None] == list(range(5))
    pages.close()


def test_unbounded_time_axis_of_extent_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    dimensions = dims_from_standard_axes({"t": None, "y": 8, "x": 8})
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    with create_stream(settings) as stream:
        stream.append(np.ones((8, 8), "uint8"))
        stream.flush()
        assert ome_writers.open(path).dims == ("t", "y", "x")
    assert ome_writers.open(path).shape == (1, 8, 8)


def test_file_with_status_writing_may_always_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ome.tiff"
    dimensions = dims_from_standard_axes({"t": 2, "y": 8, "x": 8})
    stream = create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint8")
    )
    now = [100.0]
    monkeypatch.setattr("ome_writers.formats.ometiff.tiff_pages.time.monotonic", lambda: now[0])
    for changed in (True, False):
        changes = ChangeDetector(path)
        assert changes.may_have_changed()
        now[0] += 100
        assert changes.may_have_changed()
        changes.mark_read(read_ome_xml(path))
        assert changes.may_have_changed() is changed
        monkeypatch.undo()
        stream.close()
        monkeypatch.setattr("ome_writers.formats.ometiff.tiff_pages.time.monotonic", lambda: now[0])
