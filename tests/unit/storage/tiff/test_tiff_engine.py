"""The BigTIFF engine alone, through the contract of engines: what lies in its files; tifffile is the witness."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from ome_writers.storage import ENGINES
from support.tiff_engine import COMPRESSIONS, FRAME, end, engine, frame, pages, plan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_everything_is_there_before_the_first_frame(tmp_path: Path, compression: str) -> None:
    """A bounded file has all its pages, which read as zeros, as soon as it is created."""
    made = engine(tmp_path, plan(3, 2, compression=compression))
    found = pages(tmp_path / "0.tif")
    assert len(found) == 6
    assert not np.any(found)
    made.close([(3, 2, *FRAME)])


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("owned", [False, True])
def test_any_order_a_second_time_and_gaps(tmp_path: Path, compression: str, owned: bool) -> None:
    """Frames land where they belong in any order, a later one replaces, and what never came is zero."""
    made = engine(tmp_path, plan(4, 3, compression=compression))
    expected = np.zeros((12, *FRAME), np.uint16)
    for number in np.random.default_rng(0).permutation(11).tolist():
        expected[number] = frame(number)
        made.write(number, 0, divmod(number, 3), frame(number), owned)
        np.testing.assert_array_equal(made.read(0, divmod(number, 3)), expected[number])
    made.flush([(4, 3, *FRAME)])
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), expected)
    expected[5] = frame(99)
    made.write(11, 0, (1, 2), frame(99))
    made.close([(4, 3, *FRAME)])
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), expected)
    np.testing.assert_array_equal([made.read(0, divmod(n, 3)) for n in range(12)], expected)
    assert not made.failures
    assert made.stats().frames_written == 12


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("one_file", [False, True])
def test_growth(tmp_path: Path, compression: str, one_file: bool) -> None:
    """Files that grow have as many pages as each flush shows, and are exact at the end."""
    made = engine(tmp_path, *[plan(None, 2, compression=compression)] * 2, one_file=one_file)
    for t in range(70):
        for array in range(2):
            for c in range(2):
                made.write(0, array, (t, c), frame(t * 4 + array * 2 + c))
        if t in (0, 1, 40):
            made.flush([(t + 1, 2, *FRAME)] * 2)
            assert len(pages(tmp_path / "0.tif")) == (t + 1) * (4 if one_file else 2)
    made.close([(70, 2, *FRAME)] * 2)
    assert not made.failures
    found = pages(tmp_path / "0.tif")
    if one_file:
        np.testing.assert_array_equal(found, [frame(n) for n in range(280)])
    else:
        np.testing.assert_array_equal(
            found, [frame(t * 4 + c) for t in range(70) for c in range(2)]
        )
    np.testing.assert_array_equal(made.read(1, (69, 1)), frame(69 * 4 + 3))


def test_a_file_that_grew_is_no_longer_than_its_planes(tmp_path: Path) -> None:
    """The room that growing takes ahead is given back at the end."""
    made = engine(tmp_path, plan(None))
    for t in range(3):
        made.write(t, 0, (t,), frame(t))
    made.flush([(3, *FRAME)])
    made.put("0.tif", b"<OME>" + b"x" * 5000 + b"</OME>")
    before = (tmp_path / "0.tif").stat().st_size
    end(made, [(3, *FRAME)])
    assert len(pages(tmp_path / "0.tif")) == 3
    assert (tmp_path / "0.tif").stat().st_size <= before - 12 * 120  # 16 planes are the first room


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("keep", [(2, 3), (5, 1), (1, 1)])
def test_trimming(tmp_path: Path, compression: str, keep: tuple[int, int]) -> None:
    """Pages beyond the final shape are no longer in the chain, whichever axis was cut."""
    made = engine(tmp_path, plan(5, 3, compression=compression))
    for number in range(15):
        made.write(number, 0, divmod(number, 3), frame(number))
    made.put("0.tif", b"<OME>" + b"y" * 3000 + b"</OME>")
    end(made, [(*keep, *FRAME)])
    expected = [frame(t * 3 + c) for t in range(keep[0]) for c in range(keep[1])]
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), expected)
    made.put("0.tif", b"<OME>last</OME>")
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), expected)


def test_no_page_of_a_set_is_one_piece(tmp_path: Path) -> None:
    """Readers that take pieces of one file for another's find none in a set; a file alone can be mapped."""
    for name, plans in (("set", [plan(2), plan(2)]), ("alone", [plan(2)])):
        (tmp_path / name).mkdir()
        engine(tmp_path / name, *plans).close([p.shape for p in plans])
        with tifffile.TiffFile(tmp_path / name / "0.tif") as tiff:
            assert [page.is_contiguous for page in tiff.pages] == [name == "alone"] * 2


@pytest.mark.parametrize("dtype", sorted(ENGINES["tifffile"].dtypes or ()))
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("files", [1, 2])
def test_dtypes(tmp_path: Path, dtype: str, compression: str, files: int) -> None:
    """Every dtype that OME-TIFF has comes back as it was."""
    made = engine(tmp_path, *[plan(2, compression=compression, dtype=dtype)] * files)
    for array in range(files):
        made.write(array, array, (1,), frame(array + 1, dtype=dtype))
    made.close([(2, *FRAME)] * files)
    found = pages(tmp_path / f"{files - 1}.tif")[1]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, frame(files, dtype=dtype))
    np.testing.assert_array_equal(made.read(files - 1, (1,)), frame(files, dtype=dtype))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 1), (7, 13), (300, 3000)])
@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("files", [1, 2])
def test_shapes_and_samples(
    tmp_path: Path, size: tuple[int, int], compression: str, rgb: bool, files: int
) -> None:
    """Frames of one pixel, one row, odd and large sizes, with one or three samples, in a file or a set."""
    shape = (*size, 3) if rgb else size
    made = engine(
        tmp_path, *[plan(2, compression=compression, dtype="uint8", frame=size, rgb=rgb)] * files
    )
    for array in range(files):
        for t in range(2):
            strided = np.repeat(frame(t + array, shape, "uint8"), 2, axis=1)[:, ::2]
            made.write(t, array, (t,), strided, True)
    made.close([(2, *size)] * files)
    np.testing.assert_array_equal(
        np.reshape(pages(tmp_path / f"{files - 1}.tif"), (2, *shape)),
        [frame(t + files - 1, shape, "uint8") for t in range(2)],
    )


def test_compressed_frames_of_several_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame too large for a codec's buffer is stored in strips, and read back whole."""
    monkeypatch.setattr("ome_writers.storage.tiff.ifd._MOST_STRIP", 50)
    made = engine(tmp_path, plan(3, compression="zstd"))
    for t in (2, 0):
        made.write(t, 0, (t,), frame(t))
    made.close([(3, *FRAME)])
    expected = [frame(0), np.zeros(FRAME), frame(2)]
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), expected)
    np.testing.assert_array_equal([made.read(0, (t,)) for t in range(3)], expected)


def test_the_budget_blocks_and_nothing_is_lost(tmp_path: Path) -> None:
    """With room for two frames all frames still land, also with a file for each."""
    made = engine(tmp_path, *[plan(40)] * 5, buffer_bytes=2 * 120)
    for t in range(40):
        for array in range(5):
            made.write(t * 5 + array, array, (t,), frame(t + array))
    made.close([(40, *FRAME)] * 5)
    assert not made.failures
    for array in range(5):
        np.testing.assert_array_equal(
            pages(tmp_path / f"{array}.tif"), [frame(t + array) for t in range(40)]
        )


def test_a_lost_frame_is_named(tmp_path: Path) -> None:
    """A write that fails is kept with the frames that it cost; closing does not raise."""
    made = engine(tmp_path, plan(3))
    made.close([(3, *FRAME)])
    made = engine(tmp_path, plan(3))
    shutil.rmtree(tmp_path)
    made._handles.close()
    for t in range(2):
        made.write(10 + t, 0, (t,), frame(t))
    made.close([(3, *FRAME)])
    assert sorted(n for failure in made.failures for n in failure.frames) == [10, 11]


def test_a_million_pages(tmp_path: Path) -> None:
    """A million pages are laid down at once, and any of them can be written."""
    shape = (1000, 1000)
    made = engine(tmp_path, plan(*shape, frame=(1, 2), dtype="uint8"))
    made.write(0, 0, (999, 999), frame(7, (1, 2), "uint8"))
    made.close([(*shape, 1, 2)])
    with (tmp_path / "0.tif").open("rb") as file:
        file.seek(-8, 2)
        assert file.read().rstrip(b"\0")[-2:] == b"\x07\x08"
    np.testing.assert_array_equal(made.read(0, (999, 999)), [[7, 8]])
    np.testing.assert_array_equal(made.read(0, (500, 0)), [[0, 0]])


@pytest.mark.skipif(
    shutil.which("tiffinfo") is None, reason="tiffinfo (libtiff-tools) is not installed"
)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("files", [1, 2])
def test_libtiff_has_nothing_to_complain_about(
    tmp_path: Path, compression: str, files: int
) -> None:
    """`tiffinfo` reads every page's pixels without a warning, and the resolution in pixels per centimeter."""
    plans = [plan(2, compression=compression)] * files
    made = engine(tmp_path, *plans)
    made.write(0, 0, (1,), frame(1))
    made.close([p.shape for p in plans])
    told = subprocess.run(
        ["tiffinfo", "-D", str(tmp_path / "0.tif")], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    assert told.stdout.count("Resolution: 20000, 20000 pixels/cm") == 2
    assert told.stdout.count("Samples/Pixel: 1") == 2


def test_documents_that_are_files(tmp_path: Path) -> None:
    """A key that is no TIFF file is a document of its own."""
    made = engine(tmp_path, plan(1))
    made.put("x.companion.ome", b"<OME/>")
    made.close([(1, *FRAME)])
    assert (tmp_path / "x.companion.ome").read_bytes() == b"<OME/>"
