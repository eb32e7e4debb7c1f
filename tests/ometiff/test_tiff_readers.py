"""Readers of a BigTIFF file that is being written see whole frames and blank pages, never a partial frame."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from support.tiff_engine import (
    FRAME_SHAPE,
    finish,
    make_frame,
    make_plan,
    open_tiff_engine,
    read_pages,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_polling_reader_sees_valid_pages_and_description_during_writes(tmp_path: Path) -> None:
    engine = open_tiff_engine(
        tmp_path,
        make_plan(None, compression="zstd"),
        make_plan(None),
        make_plan(200, compression="deflate"),
    )
    errors: list[BaseException] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            try:
                for name in ("0.tif", "1.tif", "2.tif"):
                    for page in read_pages(tmp_path / name):
                        assert not page.any() or np.array_equal(page, page.flat[0] + make_frame(0))
            except BaseException as error:
                errors.append(error)
                return

    reader = threading.Thread(target=poll)
    reader.start()
    for t in range(200):
        for array in range(3):
            engine.write(t, array, (t,), make_frame(t + 1))
        if t % 10 == 0:
            engine.flush([(t + 1, *FRAME_SHAPE), (t + 1, *FRAME_SHAPE), (200, *FRAME_SHAPE)])
            engine.put("0.tif", b"<OME>" + b"z" * (t * 7) + b"</OME>")
    engine.close([(200, *FRAME_SHAPE)] * 3)
    done.set()
    reader.join()
    assert not errors


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_growing_file_is_preallocated_until_close(tmp_path: Path, compression: str) -> None:
    """The next frames are within the file size that a reader cached at open."""
    engine = open_tiff_engine(tmp_path, make_plan(None, 2, compression=compression))
    path = tmp_path / "0.tif"
    for t in range(40):  # three segments
        cached_size = path.stat().st_size
        engine.write(2 * t, 0, (t, 0), make_frame(t))
        engine.write(2 * t + 1, 0, (t, 1), make_frame(t))
        engine.flush([(t + 1, 2, *FRAME_SHAPE)])
        engine.put("0.tif", b"<OME>" + b"z" * (t * 10) + b"</OME>")
        assert len(read_pages(path, size=cached_size)) == 2 * (t + 1)
    finish(engine, [(40, 2, *FRAME_SHAPE)])
    assert len(read_pages(path)) == 80
    assert path.stat().st_size < 2**20


@pytest.mark.parametrize("files", [1, 2])
def test_partly_written_plane_is_blank_until_flush(tmp_path: Path, files: int) -> None:
    engine = open_tiff_engine(tmp_path, *[make_plan(3, 2)] * files)
    file, path = engine._files[0], tmp_path / "0.tif"
    for page in (0, 3):
        with path.open("r+b") as raw:
            raw.seek(file.geometry.plane_offset(page))
            raw.write(b"\xff" * 20)  # an unfinished write
    assert not np.any(read_pages(path))
    for number in (4, 0, 1):
        engine.write(number, 0, divmod(number, 2), make_frame(number + 1))
    engine.flush([(3, 2, *FRAME_SHAPE)] * files)
    stored = read_pages(path)
    for number in range(6):
        expected = make_frame(number + 1) if number in (0, 1, 4) else np.zeros(FRAME_SHAPE)
        np.testing.assert_array_equal(stored[number], expected)
    engine.close([(3, 2, *FRAME_SHAPE)] * files)
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.dataoffsets[0] for page in tiff.pages]
    assert offsets == [file.geometry.plane_offset(page) for page in range(6)]


@pytest.mark.parametrize("one_file", [False, True])
def test_flush_extends_chain_over_missing_frames_of_growing_file(
    tmp_path: Path, one_file: bool
) -> None:
    engine = open_tiff_engine(tmp_path, *[make_plan(None, 2)] * 2, one_file=one_file)
    file, path = engine._files[0], tmp_path / "0.tif"
    engine.write(0, 0, (0, 0), make_frame(1))
    engine.write(1, 0, (20, 1), make_frame(2))  # in the second segment
    engine._drain()
    page = engine._series[0][1].page((20, 0))
    with path.open("r+b") as raw:
        raw.seek(file.geometry.plane_offset(page))
        raw.write(b"\xff" * 20)  # an unfinished write
    assert not np.any(read_pages(path))
    engine.flush([(21, 2, *FRAME_SHAPE)] * 2)
    stored = read_pages(path)
    assert len(stored) == 21 * (4 if one_file else 2)
    np.testing.assert_array_equal(stored[0], make_frame(1))
    np.testing.assert_array_equal(stored[page + 1], make_frame(2))
    assert [n for n, plane in enumerate(stored) if plane.any()] == [0, page + 1]
    engine.write(2, 0, (20, 0), make_frame(3))
    engine.close([(21, 2, *FRAME_SHAPE)] * 2)
    stored = read_pages(path)
    np.testing.assert_array_equal(stored[page], make_frame(3))
    assert [n for n, plane in enumerate(stored) if plane.any()] == [0, page, page + 1]
    assert not engine.failures


def test_cached_blank_pages_read_zeros_after_write_and_truncate(tmp_path: Path) -> None:
    """IFDs that a reader cached before the first frame reference the blank plane for the life of the file."""
    engine = open_tiff_engine(tmp_path, make_plan(50, 2))
    with tifffile.TiffFile(tmp_path / "0.tif") as tiff:
        cached = list(tiff.pages)
        for number in range(7):
            engine.write(number, 0, divmod(number, 2), make_frame(number + 1))
        finish(engine, [(4, 2, *FRAME_SHAPE)])
        assert not np.any([page.asarray() for page in cached])
    assert [p.any() for p in read_pages(tmp_path / "0.tif")] == [True] * 7 + [False]


@pytest.mark.parametrize("counts", [(3,), (None,)])
def test_frame_replaced_repeatedly_between_flushes(
    tmp_path: Path, counts: tuple[int | None]
) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(*counts))
    for number in range(3):
        engine.write(number, 0, (number,), make_frame(number))
    engine.flush([(3, *FRAME_SHAPE)])
    for number in (10, 20, 30):
        engine.write(number, 0, (1,), make_frame(number))
        engine._drain()
    finish(engine, [(3, *FRAME_SHAPE)])
    np.testing.assert_array_equal(
        read_pages(tmp_path / "0.tif"), [make_frame(n) for n in (0, 30, 2)]
    )


def test_last_frame_is_stored_when_replaced_during_concurrent_flushes(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(3))
    stop = threading.Event()

    def flush() -> None:
        while not stop.is_set():
            engine.flush([(3, *FRAME_SHAPE)])

    flusher = threading.Thread(target=flush)
    flusher.start()
    for turn in range(300):
        for t in range(3):
            engine.write(3 * turn + t, 0, (t,), make_frame(turn + t))
    stop.set()
    flusher.join()
    finish(engine, [(3, *FRAME_SHAPE)])
    np.testing.assert_array_equal(
        read_pages(tmp_path / "0.tif"), [make_frame(299 + n) for n in range(3)]
    )


@pytest.mark.parametrize("counts", [(3, 2), (None, 2)])
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_replacing_frame_does_not_overwrite_published_plane(
    tmp_path: Path, compression: str, files: int, counts: tuple[int | None, int]
) -> None:
    """A kill at any moment leaves either the earlier frame or its replacement."""
    shapes: list[tuple[int, ...]] = [(3, 2, *FRAME_SHAPE)] * files
    engine = open_tiff_engine(tmp_path, *[make_plan(*counts, compression=compression)] * files)
    path = tmp_path / "0.tif"
    for number in range(6):
        engine.write(number, 0, divmod(number, 2), make_frame(number + 1))
    engine.flush(shapes)
    with tifffile.TiffFile(path) as tiff:
        offsets = [tuple(page.dataoffsets) for page in tiff.pages]
        cached = list(tiff.pages)
        for number in (3, 4, 0):
            engine.write(6 + number, 0, divmod(number, 2), make_frame(number + 50))
        engine._drain()
        if compression == "none":
            np.testing.assert_array_equal(read_pages(path), [make_frame(n + 1) for n in range(6)])
        engine.flush(shapes)
        np.testing.assert_array_equal(
            [page.asarray() for page in cached], [make_frame(n + 1) for n in range(6)]
        )
    expected = [make_frame(n + 50) if n in (3, 4, 0) else make_frame(n + 1) for n in range(6)]
    np.testing.assert_array_equal(read_pages(path), expected)
    engine.write(12, 0, (0, 0), make_frame(70))
    expected[0] = make_frame(70)
    np.testing.assert_array_equal(engine.read(0, (0, 0)), make_frame(70))
    engine.write(13, 0, (1, 0), make_frame(80))
    expected[2] = make_frame(80)
    finish(engine, shapes)
    np.testing.assert_array_equal(read_pages(path), expected)
    np.testing.assert_array_equal([engine.read(0, divmod(n, 2)) for n in range(6)], expected)
    with tifffile.TiffFile(path) as tiff:
        final_offsets = [tuple(page.dataoffsets) for page in tiff.pages]
    assert [final_offsets[n] == offsets[n] for n in range(6)] == [n in (1, 5) for n in range(6)]


def test_failed_ifd_write_of_one_file_does_not_hide_other_files(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(2), make_plan(2))
    for array in range(2):
        engine.write(array, array, (0,), make_frame(1))
    engine._drain()
    engine._handles.close()
    (tmp_path / "0.tif").unlink()
    engine.flush([(2, *FRAME_SHAPE)] * 2)
    assert [type(failure.error) for failure in engine.failures] == [FileNotFoundError]
    np.testing.assert_array_equal(read_pages(tmp_path / "1.tif")[0], make_frame(1))
    engine.close([(2, *FRAME_SHAPE)] * 2)


def test_partly_written_plane_of_failed_write_is_blank_after_close(tmp_path: Path) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(3))
    file, path = engine._files[0], tmp_path / "0.tif"
    engine.write(0, 0, (0,), make_frame(1))
    engine._drain()
    engine._handles.close()
    path.rename(tmp_path / "away.tif")
    engine.write(1, 0, (1,), make_frame(2))
    engine._drain()
    (tmp_path / "away.tif").rename(path)
    with path.open("r+b") as raw:
        raw.seek(file.geometry.plane_offset(1))
        raw.write(b"\xff" * 20)
    engine.close([(3, *FRAME_SHAPE)])
    assert [f.frames for f in engine.failures] == [(1,)]
    stored = read_pages(path)
    np.testing.assert_array_equal(stored[0], make_frame(1))
    assert not np.any(stored[1:])


@pytest.mark.skipif(
    not hasattr(os, "pwritev"), reason="a disk that fails at close: the test fails os.pwritev"
)
def test_description_and_chain_agree_when_final_ifd_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_tiff_engine(tmp_path, make_plan(2, 3))
    engine.write(0, 0, (0, 0), make_frame(1))
    engine.flush([(2, 3, *FRAME_SHAPE)])
    write, failed = os.pwritev, []

    def fail_once(*args: Any) -> int:
        if not failed:
            failed.append(True)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail_once)
        engine.close([(2, 1, *FRAME_SHAPE)])
    assert [type(failure.error) for failure in engine.failures] == [OSError]
    engine.put("0.tif", b"<OME>two pages</OME>")
    engine.truncate()
    np.testing.assert_array_equal(
        read_pages(tmp_path / "0.tif"), [make_frame(1), np.zeros(FRAME_SHAPE)]
    )


@pytest.mark.skipif(
    not hasattr(os, "pwritev"), reason="a disk that fails at close: the test fails os.pwritev"
)
def test_frames_beyond_flushed_shape_are_reported_when_disk_fails_at_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their pixels are on disk, but the IFD chain cannot be extended to them."""
    engine = open_tiff_engine(tmp_path, make_plan(None, 2))
    for number in range(6):
        engine.write(number, 0, divmod(number, 2), make_frame(number))
    engine.flush([(1, 2, *FRAME_SHAPE)])

    def fail(*_: Any) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        engine.close([(3, 2, *FRAME_SHAPE)])
    assert {number for failure in engine.failures for number in failure.frames} == {2, 3, 4, 5}
