"""Files of the BigTIFF engine, used through the engine contract and read with tifffile."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from ome_writers import OmeTiffFormat
from ome_writers.storage import ENGINES, positional_io
from support.tiff_engine import (
    COMPRESSIONS,
    FRAME_SHAPE,
    finish,
    make_frame,
    make_plan,
    open_tiff_engine,
    read_pages,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_bounded_file_has_all_pages_as_zeros_before_first_frame(
    tmp_path: Path, compression: str
) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(3, 2, compression=compression))
    stored = read_pages(tmp_path / "0.tif")
    assert len(stored) == 6
    assert not np.any(stored)
    engine.close([(3, 2, *FRAME_SHAPE)])


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("owned", [False, True])
def test_random_order_replaced_frame_and_missing_frame(
    tmp_path: Path, compression: str, owned: bool
) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(4, 3, compression=compression))
    expected = np.zeros((12, *FRAME_SHAPE), np.uint16)
    for number in np.random.default_rng(0).permutation(11).tolist():
        expected[number] = make_frame(number)
        engine.write(number, 0, divmod(number, 3), make_frame(number), owned)
        np.testing.assert_array_equal(engine.read(0, divmod(number, 3)), expected[number])
    engine.flush([(4, 3, *FRAME_SHAPE)])
    np.testing.assert_array_equal(read_pages(tmp_path / "0.tif"), expected)
    expected[5] = make_frame(99)
    engine.write(11, 0, (1, 2), make_frame(99))
    engine.close([(4, 3, *FRAME_SHAPE)])
    np.testing.assert_array_equal(read_pages(tmp_path / "0.tif"), expected)
    np.testing.assert_array_equal([engine.read(0, divmod(n, 3)) for n in range(12)], expected)
    assert not engine.failures
    assert engine.stats().frames_written == 12


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("one_file", [False, True])
def test_growing_file_has_pages_up_to_last_flush(
    tmp_path: Path, compression: str, one_file: bool
) -> None:
    engine = open_tiff_engine(
        tmp_path, *[make_plan(None, 2, compression=compression)] * 2, one_file=one_file
    )
    for t in range(70):
        for array in range(2):
            for c in range(2):
                engine.write(0, array, (t, c), make_frame(t * 4 + array * 2 + c))
        if t in (0, 1, 40):
            engine.flush([(t + 1, 2, *FRAME_SHAPE)] * 2)
            assert len(read_pages(tmp_path / "0.tif")) == (t + 1) * (4 if one_file else 2)
    engine.close([(70, 2, *FRAME_SHAPE)] * 2)
    assert not engine.failures
    stored = read_pages(tmp_path / "0.tif")
    if one_file:
        np.testing.assert_array_equal(stored, [make_frame(n) for n in range(280)])
    else:
        np.testing.assert_array_equal(
            stored, [make_frame(t * 4 + c) for t in range(70) for c in range(2)]
        )
    np.testing.assert_array_equal(engine.read(1, (69, 1)), make_frame(69 * 4 + 3))


def test_finished_growing_file_is_truncated_after_its_planes(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(None))
    for t in range(3):
        engine.write(t, 0, (t,), make_frame(t))
    engine.flush([(3, *FRAME_SHAPE)])
    engine.put("0.tif", b"<OME>" + b"x" * 5000 + b"</OME>")
    before = (tmp_path / "0.tif").stat().st_size
    finish(engine, [(3, *FRAME_SHAPE)])
    assert len(read_pages(tmp_path / "0.tif")) == 3
    assert (
        tmp_path / "0.tif"
    ).stat().st_size <= before - 12 * 120  # the first segment has 16 planes


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("keep", [(2, 3), (5, 1), (1, 1)])
def test_chain_contains_only_pages_of_final_shape(
    tmp_path: Path, compression: str, keep: tuple[int, int]
) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(5, 3, compression=compression))
    for number in range(15):
        engine.write(number, 0, divmod(number, 3), make_frame(number))
    engine.put("0.tif", b"<OME>" + b"y" * 3000 + b"</OME>")
    finish(engine, [(*keep, *FRAME_SHAPE)])
    expected = [make_frame(t * 3 + c) for t in range(keep[0]) for c in range(keep[1])]
    np.testing.assert_array_equal(read_pages(tmp_path / "0.tif"), expected)
    engine.put("0.tif", b"<OME>last</OME>")
    np.testing.assert_array_equal(read_pages(tmp_path / "0.tif"), expected)


def test_pages_are_contiguous_only_in_single_file(tmp_path: Path) -> None:
    """Readers such as tifffile map contiguous pages of other files of a set onto the file that it opened."""
    for name, plans in (("set", [make_plan(2), make_plan(2)]), ("single", [make_plan(2)])):
        (tmp_path / name).mkdir()
        open_tiff_engine(tmp_path / name, *plans).close([p.shape for p in plans])
        with tifffile.TiffFile(tmp_path / name / "0.tif") as tiff:
            assert [page.is_contiguous for page in tiff.pages] == [name == "single"] * 2


@pytest.mark.parametrize("dtype", sorted(ENGINES["tifffile"].dtypes or ()))
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("files", [1, 2])
def test_dtype_round_trip(tmp_path: Path, dtype: str, compression: str, files: int) -> None:
    engine = open_tiff_engine(
        tmp_path, *[make_plan(2, compression=compression, dtype=dtype)] * files
    )
    for array in range(files):
        engine.write(array, array, (1,), make_frame(array + 1, dtype=dtype))
    engine.close([(2, *FRAME_SHAPE)] * files)
    stored = read_pages(tmp_path / f"{files - 1}.tif")[1]
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, make_frame(files, dtype=dtype))
    np.testing.assert_array_equal(engine.read(files - 1, (1,)), make_frame(files, dtype=dtype))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 1), (7, 13), (300, 3000)])
@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("files", [1, 2])
def test_frame_shape_and_samples_round_trip(
    tmp_path: Path, size: tuple[int, int], compression: str, rgb: bool, files: int
) -> None:
    shape = (*size, 3) if rgb else size
    engine = open_tiff_engine(
        tmp_path,
        *[make_plan(2, compression=compression, dtype="uint8", frame=size, rgb=rgb)] * files,
    )
    for array in range(files):
        for t in range(2):
            strided = np.repeat(make_frame(t + array, shape, "uint8"), 2, axis=1)[:, ::2]
            engine.write(t, array, (t,), strided, True)
    engine.close([(2, *size)] * files)
    np.testing.assert_array_equal(
        np.reshape(read_pages(tmp_path / f"{files - 1}.tif"), (2, *shape)),
        [make_frame(t + files - 1, shape, "uint8") for t in range(2)],
    )


def test_compressed_frame_larger_than_codec_limit_is_split_into_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome_writers.storage.tiff.ifd._MAX_STRIP_BYTES", 50)
    engine = open_tiff_engine(tmp_path, make_plan(3, compression="zstd"))
    for t in (2, 0):
        engine.write(t, 0, (t,), make_frame(t))
    engine.close([(3, *FRAME_SHAPE)])
    expected = [make_frame(0), np.zeros(FRAME_SHAPE), make_frame(2)]
    np.testing.assert_array_equal(read_pages(tmp_path / "0.tif"), expected)
    np.testing.assert_array_equal([engine.read(0, (t,)) for t in range(3)], expected)


def test_buffer_of_two_frames_loses_no_frame_of_five_files(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, *[make_plan(40)] * 5, buffer_bytes=2 * 120)
    for t in range(40):
        for array in range(5):
            engine.write(t * 5 + array, array, (t,), make_frame(t + array))
    engine.close([(40, *FRAME_SHAPE)] * 5)
    assert not engine.failures
    for array in range(5):
        np.testing.assert_array_equal(
            read_pages(tmp_path / f"{array}.tif"), [make_frame(t + array) for t in range(40)]
        )


@pytest.mark.parametrize("files", [1, 2], ids=["one file", "file set"])
@pytest.mark.parametrize("vectored", [True, False])
@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_large_owned_frames_are_written_from_memory_of_the_caller(
    tmp_path: Path, compression: str, vectored: bool, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several in one write, alternating with copied ones, and replaced ones; also without `os.pwritev`."""
    monkeypatch.setattr(positional_io, "_HAS_PWRITEV", vectored and hasattr(os, "pwritev"))
    shape = (600, 1024)  # 1.2 MiB
    plan = make_plan(13, frame=shape, compression=compression)
    engine = open_tiff_engine(tmp_path, *[plan] * files, buffer_bytes=2**26)
    frames = {t: make_frame(7 * t, shape) for t in range(13)}
    copied = {3, 8, 9}
    for t, frame in frames.items():
        engine.write(t, 0, (t,), frame, t not in copied)
        assert (engine.read(0, (t,)) == frame).all()
    frames[5] = make_frame(1234, shape)
    engine.write(13, 0, (5,), frames[5], True)
    strided = np.zeros((1024, 600), "uint16").T  # not contiguous: copied
    engine.write(14, 0, (6,), strided, True)
    frames[6] = strided
    engine.flush([(13, *shape)] * files)
    assert engine.stats().bytes_copied == 4 * strided.nbytes
    assert engine.stats().bytes_buffered == 0
    finish(engine, [(13, *shape)] * files)
    for page, frame in zip(read_pages(tmp_path / "0.tif"), frames.values(), strict=True):
        assert (page == frame).all()


def test_failed_write_reports_frame_numbers_and_close_does_not_raise(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(3))
    engine.close([(3, *FRAME_SHAPE)])
    engine = open_tiff_engine(tmp_path, make_plan(3))
    engine._handles.close()  # Windows does not remove the directory of an open file
    shutil.rmtree(tmp_path)
    for t in range(2):
        engine.write(10 + t, 0, (t,), make_frame(t))
    engine.close([(3, *FRAME_SHAPE)])
    assert sorted(n for failure in engine.failures for n in failure.frames) == [10, 11]


def test_file_with_a_million_pages(tmp_path: Path) -> None:
    shape = (1000, 1000)
    engine = open_tiff_engine(tmp_path, make_plan(*shape, frame=(1, 2), dtype="uint8"))
    engine.write(0, 0, (999, 999), make_frame(7, (1, 2), "uint8"))
    engine.close([(*shape, 1, 2)])
    with (tmp_path / "0.tif").open("rb") as file:
        file.seek(-8, 2)
        assert file.read().rstrip(b"\0")[-2:] == b"\x07\x08"
    np.testing.assert_array_equal(engine.read(0, (999, 999)), [[7, 8]])
    np.testing.assert_array_equal(engine.read(0, (500, 0)), [[0, 0]])


@pytest.mark.skipif(
    shutil.which("tiffinfo") is None,
    reason="libtiff reads every page: tiffinfo (libtiff-tools) is not installed",
)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("files", [1, 2])
def test_tiffinfo_prints_no_warning(tmp_path: Path, compression: str, files: int) -> None:
    """It reads the pixels of every page, and the resolution in pixels per centimeter."""
    plans = [make_plan(2, compression=compression)] * files
    engine = open_tiff_engine(tmp_path, *plans)
    engine.write(0, 0, (1,), make_frame(1))
    engine.close([p.shape for p in plans])
    output = subprocess.run(
        ["tiffinfo", "-D", str(tmp_path / "0.tif")], capture_output=True, text=True, check=True
    )
    assert output.stderr == ""
    assert output.stdout.count("Resolution: 20000, 20000 pixels/cm") == 2
    assert output.stdout.count("Samples/Pixel: 1") == 2


def test_put_of_other_key_writes_file(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(1))
    engine.put("x.companion.ome", b"<OME/>")
    engine.close([(1, *FRAME_SHAPE)])
    assert (tmp_path / "x.companion.ome").read_bytes() == b"<OME/>"


@pytest.mark.parametrize("tile", [None, 16])
def test_gaps_between_strips_and_tiles_are_zeros(tmp_path: Path, tile: int | None) -> None:
    """They contain neither memory of this process nor what makes two equal acquisitions differ."""
    shape = (32, 48)
    more = {"frame": shape, "format": OmeTiffFormat(tile=tile)}
    plans = [make_plan(3, **more), make_plan(3, **more)]
    engine = open_tiff_engine(tmp_path, *plans)
    freed = [np.full(n, 0xAB, np.uint8) for n in range(3000, 14000, 16) for _ in range(3)]
    del freed
    for number in range(3):
        engine.write(number, 0, (number,), make_frame(number, shape), owned=False)
    finish(engine, [plan.shape for plan in plans])
    content = (tmp_path / "0.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "0.tif") as tiff:
        for page in tiff.pages:
            ends = [sum(each) for each in zip(page.dataoffsets, page.databytecounts, strict=True)]
            gaps = zip(ends[:-1], page.dataoffsets[1:], strict=True)
            assert all(content[end:start] == bytes(16) for end, start in gaps)
