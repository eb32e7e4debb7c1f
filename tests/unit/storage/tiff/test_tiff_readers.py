"""What readers see of a BigTIFF while it is written: whole frames and blank pages, never a part of a frame."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from support.tiff_engine import FRAME, end, engine, frame, pages, plan

if TYPE_CHECKING:
    from pathlib import Path


def test_a_reader_never_sees_a_broken_file(tmp_path: Path) -> None:
    """Pages and description are whole at every moment while frames arrive, the file grows and is described anew."""
    made = engine(
        tmp_path, plan(None, compression="zstd"), plan(None), plan(200, compression="deflate")
    )
    errors: list[BaseException] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            try:
                for name in ("0.tif", "1.tif", "2.tif"):
                    for page in pages(tmp_path / name):
                        assert not page.any() or np.array_equal(page, page.flat[0] + frame(0))
            except BaseException as error:
                errors.append(error)
                return

    reader = threading.Thread(target=poll)
    reader.start()
    for t in range(200):
        for array in range(3):
            made.write(t, array, (t,), frame(t + 1))
        if t % 10 == 0:
            made.flush([(t + 1, *FRAME), (t + 1, *FRAME), (200, *FRAME)])
            made.put("0.tif", b"<OME>" + b"z" * (t * 7) + b"</OME>")
    made.close([(200, *FRAME)] * 3)
    done.set()
    reader.join()
    assert not errors


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_growing_file_is_longer_than_it_need_be_until_it_is_closed(
    tmp_path: Path, compression: str
) -> None:
    """What comes lies within the size that a reader was told a moment ago; in the end the rest is cut off."""
    made = engine(tmp_path, plan(None, 2, compression=compression))
    path = tmp_path / "0.tif"
    for t in range(70):
        told = path.stat().st_size
        made.write(2 * t, 0, (t, 0), frame(t))
        made.write(2 * t + 1, 0, (t, 1), frame(t))
        made.flush([(t + 1, 2, *FRAME)])
        made.put("0.tif", b"<OME>" + b"z" * (t * 10) + b"</OME>")
        assert len(pages(path, size=told)) == 2 * (t + 1)
    end(made, [(70, 2, *FRAME)])
    assert len(pages(path)) == 140
    assert path.stat().st_size < 2**20


@pytest.mark.parametrize("files", [1, 2])
def test_a_plane_that_is_half_on_its_way_is_not_seen(tmp_path: Path, files: int) -> None:
    """Pages show zeros, whatever lies at their own places, until a flush leads their directories there."""
    made = engine(tmp_path, *[plan(3, 2)] * files)
    file, path = made._files[0], tmp_path / "0.tif"
    for page in (0, 3):
        with path.open("r+b") as raw:
            raw.seek(file.geometry.plane_at(page))
            raw.write(b"\xff" * 20)  # a write that is under way
    assert not np.any(pages(path))
    for number in (4, 0, 1):
        made.write(number, 0, divmod(number, 2), frame(number + 1))
    made.flush([(3, 2, *FRAME)] * files)
    seen = pages(path)
    for number in range(6):
        expected = frame(number + 1) if number in (0, 1, 4) else np.zeros(FRAME)
        np.testing.assert_array_equal(seen[number], expected)
    made.close([(3, 2, *FRAME)] * files)
    with tifffile.TiffFile(path) as tiff:
        places = [page.dataoffsets[0] for page in tiff.pages]
    assert places == [file.geometry.plane_at(page) for page in range(6)]


@pytest.mark.parametrize("one_file", [False, True])
def test_growing_pages_are_shown_when_they_have_landed(tmp_path: Path, one_file: bool) -> None:
    """A row of a growing file is in the chain before all its frames are there; those that are not read as zeros."""
    made = engine(tmp_path, *[plan(None, 2)] * 2, one_file=one_file)
    file, path = made._files[0], tmp_path / "0.tif"
    made.write(0, 0, (0, 0), frame(1))
    made.write(1, 0, (20, 1), frame(2))  # in the second segment
    made._land()
    page = made._places[0][1].page((20, 0))
    with path.open("r+b") as raw:
        raw.seek(file.geometry.plane_at(page))
        raw.write(b"\xff" * 20)  # a write that is under way
    assert not np.any(pages(path))
    made.flush([(21, 2, *FRAME)] * 2)
    seen = pages(path)
    assert len(seen) == 21 * (4 if one_file else 2)
    np.testing.assert_array_equal(seen[0], frame(1))
    np.testing.assert_array_equal(seen[page + 1], frame(2))
    assert [n for n, plane in enumerate(seen) if plane.any()] == [0, page + 1]
    made.write(2, 0, (20, 0), frame(3))
    made.close([(21, 2, *FRAME)] * 2)
    seen = pages(path)
    np.testing.assert_array_equal(seen[page], frame(3))
    assert [n for n, plane in enumerate(seen) if plane.any()] == [0, page, page + 1]
    assert not made.failures


def test_a_reader_with_older_directories_reads_zeros(tmp_path: Path) -> None:
    """Directories that a reader took before a frame landed lead to zeros for ever, also when the file was cut."""
    made = engine(tmp_path, plan(50, 2))
    with tifffile.TiffFile(tmp_path / "0.tif") as older:
        held = list(older.pages)
        for number in range(7):
            made.write(number, 0, divmod(number, 2), frame(number + 1))
        end(made, [(4, 2, *FRAME)])
        assert not np.any([page.asarray() for page in held])
    assert [p.any() for p in pages(tmp_path / "0.tif")] == [True] * 7 + [False]


@pytest.mark.parametrize("counts", [(3,), (None,)])
def test_a_frame_that_is_replaced_twice_before_readers_see_it(
    tmp_path: Path, counts: tuple[int | None]
) -> None:
    """Of frames that come to one place between two flushes the last one is in the file."""
    made = engine(tmp_path, plan(*counts))
    for number in range(3):
        made.write(number, 0, (number,), frame(number))
    made.flush([(3, *FRAME)])
    for number in (10, 20, 30):
        made.write(number, 0, (1,), frame(number))
        made._land()
    end(made, [(3, *FRAME)])
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), [frame(n) for n in (0, 30, 2)])


def test_frames_that_are_replaced_while_others_are_shown(tmp_path: Path) -> None:
    """However a flush and the frames that come meanwhile meet, the last frame of a place is in the file."""
    made = engine(tmp_path, plan(3))
    ended = threading.Event()

    def flush() -> None:
        while not ended.is_set():
            made.flush([(3, *FRAME)])

    flushing = threading.Thread(target=flush)
    flushing.start()
    for turn in range(300):
        for place in range(3):
            made.write(3 * turn + place, 0, (place,), frame(turn + place))
    ended.set()
    flushing.join()
    end(made, [(3, *FRAME)])
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), [frame(299 + n) for n in range(3)])


@pytest.mark.parametrize("counts", [(3, 2), (None, 2)])
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_a_frame_that_is_replaced_is_whole_until_then(
    tmp_path: Path, compression: str, files: int, counts: tuple[int | None, int]
) -> None:
    """A frame that comes again never touches the bytes of the earlier one: a kill leaves the one or the other."""
    shapes: list[tuple[int, ...]] = [(3, 2, *FRAME)] * files
    made = engine(tmp_path, *[plan(*counts, compression=compression)] * files)
    path = tmp_path / "0.tif"
    for number in range(6):
        made.write(number, 0, divmod(number, 2), frame(number + 1))
    made.flush(shapes)
    with tifffile.TiffFile(path) as tiff:
        places = [tuple(page.dataoffsets) for page in tiff.pages]
        held = list(tiff.pages)
        for number in (3, 4, 0):
            made.write(6 + number, 0, divmod(number, 2), frame(number + 50))
        made._land()
        if compression == "none":
            np.testing.assert_array_equal(pages(path), [frame(n + 1) for n in range(6)])
        made.flush(shapes)
        np.testing.assert_array_equal(
            [page.asarray() for page in held], [frame(n + 1) for n in range(6)]
        )
    expected = [frame(n + 50) if n in (3, 4, 0) else frame(n + 1) for n in range(6)]
    np.testing.assert_array_equal(pages(path), expected)
    made.write(12, 0, (0, 0), frame(70))
    expected[0] = frame(70)
    np.testing.assert_array_equal(made.read(0, (0, 0)), frame(70))
    made.write(13, 0, (1, 0), frame(80))
    expected[2] = frame(80)
    end(made, shapes)
    np.testing.assert_array_equal(pages(path), expected)
    np.testing.assert_array_equal([made.read(0, divmod(n, 2)) for n in range(6)], expected)
    with tifffile.TiffFile(path) as tiff:
        now = [tuple(page.dataoffsets) for page in tiff.pages]
    assert [now[n] == places[n] for n in range(6)] == [n in (1, 5) for n in range(6)]


def test_a_file_that_fails_does_not_keep_the_others_from_being_shown(tmp_path: Path) -> None:
    """When the directories of one file of a set cannot be written, those of the others are."""
    made = engine(tmp_path, plan(2), plan(2))
    for array in range(2):
        made.write(array, array, (0,), frame(1))
    made._land()
    made._handles.close()
    (tmp_path / "0.tif").unlink()
    made.flush([(2, *FRAME)] * 2)
    assert [type(failure.error) for failure in made.failures] == [FileNotFoundError]
    np.testing.assert_array_equal(pages(tmp_path / "1.tif")[0], frame(1))
    made.close([(2, *FRAME)] * 2)


def test_a_plane_that_could_not_be_written_is_never_shown(tmp_path: Path) -> None:
    """What a failed write has left in a page's place stays out of sight when the file is closed, too."""
    made = engine(tmp_path, plan(3))
    file, path = made._files[0], tmp_path / "0.tif"
    made.write(0, 0, (0,), frame(1))
    made._land()
    made._handles.close()
    path.rename(tmp_path / "away.tif")
    made.write(1, 0, (1,), frame(2))
    made._land()
    (tmp_path / "away.tif").rename(path)
    with path.open("r+b") as raw:
        raw.seek(file.geometry.plane_at(1))
        raw.write(b"\xff" * 20)
    made.close([(3, *FRAME)])
    assert [f.frames for f in made.failures] == [(1,)]
    seen = pages(path)
    np.testing.assert_array_equal(seen[0], frame(1))
    assert not np.any(seen[1:])


@pytest.mark.skipif(not hasattr(os, "pwritev"), reason="the call that fails here")
def test_pages_that_cannot_be_shown_do_not_part_description_and_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a disk fails as the last directories are written, the chain is still that of which the description tells."""
    made = engine(tmp_path, plan(2, 3))
    made.write(0, 0, (0, 0), frame(1))
    made.flush([(2, 3, *FRAME)])
    write, failed = os.pwritev, []

    def fail_once(*args: Any) -> int:
        if not failed:
            failed.append(True)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail_once)
        made.close([(2, 1, *FRAME)])
    assert [type(failure.error) for failure in made.failures] == [OSError]
    made.put("0.tif", b"<OME>two pages</OME>")
    made.truncate()
    np.testing.assert_array_equal(pages(tmp_path / "0.tif"), [frame(1), np.zeros(FRAME)])


@pytest.mark.skipif(not hasattr(os, "pwritev"), reason="the call that fails here")
def test_frames_that_came_during_a_flush_are_named_when_the_disk_then_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that landed behind the shape of the last flush is lost when the chain cannot lead to it."""
    made = engine(tmp_path, plan(None, 2))
    for number in range(6):
        made.write(number, 0, divmod(number, 2), frame(number))
    made.flush([(1, 2, *FRAME)])

    def fail(*_: Any) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        made.close([(3, 2, *FRAME)])
    assert {number for failure in made.failures for number in failure.frames} == {2, 3, 4, 5}
