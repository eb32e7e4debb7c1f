"""A disk that is full, read-only or gone: the error names what is not on disk, the rest reads back.

Asserted of `WriteError.frames`: each frame that does not read back bit for bit is named, only accepted
frames are, and what is named was not all there (the list may hold frames of a chunk that an earlier
flush had saved).
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from faults.datasets import ENGINE_NAMES, FRAMES, LAYOUTS, missing, mounted, noise, stream
from ome_writers import OMEStream, WriteError

pytest.importorskip("zarr", reason="zarr-python judges what is left")
pytest.importorskip("tensorstore", reason="tensorstore judges what is left")
pytestmark = pytest.mark.timeout(120)


def append_until_it_fails(writing: OMEStream, start: int = 0) -> tuple[int, WriteError]:
    """Append frames and close; return how many were accepted, and the error of `close`."""
    accepted = start
    try:
        for number in range(start, FRAMES):
            writing.append(noise(number), frame_metadata={"serial": number})
            accepted += 1
            if number % 25 == 0:
                time.sleep(0.02)
    except WriteError:
        pass  # `close` tells all of it
    with pytest.raises(WriteError) as caught:
        writing.close()
    return accepted, caught.value


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_full_disk_is_told(tmp_path: Path, engine: str, layout: str) -> None:
    """A full disk raises WriteError with the frames that are lost; the others read back."""
    with mounted(tmp_path / "small", "-o", "size=6m") as folder:
        path = folder / "run.ome.zarr"
        writing = stream(path, engine, **LAYOUTS[layout])
        accepted, error = append_until_it_fails(writing)
        lost = missing(path, accepted)
        assert lost, "the disk was not full"
        assert lost <= set(error.frames) <= set(range(accepted)), sorted(lost - set(error.frames))
        assert accepted - len(error.frames) >= 20
        cause = error.__cause__
        if engine == "direct":
            assert isinstance(cause, OSError)
            assert cause.errno == errno.ENOSPC
        with pytest.raises(WriteError):
            writing.close()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_a_read_only_folder_refuses_the_start(tmp_path: Path, engine: str) -> None:
    """Nothing begins in a read-only folder: an error says so, and the folder stays empty."""
    with mounted(tmp_path / "fixed", "-o", "size=6m,ro") as folder:
        with pytest.raises(OSError, match="(?i)read-only"):
            stream(folder / "run.ome.zarr", engine)
        assert not any(folder.iterdir())


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_a_folder_that_becomes_read_only_is_told(tmp_path: Path, engine: str) -> None:
    """A file system that turns read-only raises WriteError with the frames that are lost."""
    with mounted(tmp_path / "turned", "-o", "size=40m") as folder:
        path = folder / "run.ome.zarr"
        writing = stream(path, engine)
        for number in range(50):
            writing.append(noise(number))
        writing.flush()
        _turn_read_only(folder)
        accepted, error = append_until_it_fails(writing, 50)
        lost = missing(path, accepted)
        assert lost
        assert lost <= set(error.frames) <= set(range(50, accepted))


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_metadata_for_which_there_is_no_room_is_told_and_kept(tmp_path: Path, suffix: str) -> None:
    """What cannot be written of the whole is a WriteError that says where; `close` writes it when there is room."""
    with mounted(tmp_path / "small", "-o", "size=1m") as folder:
        path = folder / f"run.ome.{suffix}"
        writing = stream(path, "direct" if suffix == "zarr" else "tifffile", frames=2)
        writing.append(noise(0))
        writing.flush()
        rest = shutil.disk_usage(folder).free
        (folder / "rest").write_bytes(bytes(rest))
        with pytest.raises(
            WriteError, match=r"metadata of .*run\.ome\..* could not be written.*28"
        ):
            writing.set_global_metadata("lab", {"notes": "x" * 100_000})
        (folder / "rest").unlink()
        writing.close()
        document = path / "zarr.json" if suffix == "zarr" else path
        assert b"x" * 100_000 in document.read_bytes()


def test_frames_that_a_document_does_not_show_are_told_of(tmp_path: Path) -> None:
    """Where a frame is lost and a document could not be written either, the error sends to `repair`, too."""
    path = tmp_path / "run.ome.zarr"
    writing = stream(path, "tensorstore", frames=None, flush_interval=3600.0)
    writing.append(noise(0))
    writing.flush()
    (path / "0" / "c" / "2").write_text("in the way of frame 2")
    (path / "0" / "zarr.json").rename(path / "document")
    (path / "0" / "zarr.json" / "in the way").mkdir(parents=True)
    for number in (1, 2):
        writing.append(noise(number))
    told = "not on disk: .* then run `ome-writers repair` and acquire again"
    with pytest.raises(WriteError, match=told) as caught:
        writing.close()
    assert 2 in caught.value.frames


def _turn_read_only(folder: Path) -> None:
    for _ in range(100):
        command = ["mount", "-o", "remount,ro", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.02)  # somebody has a file open
    pytest.skip("the file system stayed busy and could not be made read-only")


@pytest.mark.parametrize(
    "engine",
    [pytest.param(n, marks=[pytest.mark.short] if n == "direct" else []) for n in ENGINE_NAMES],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_vanished_folder_is_told(tmp_path: Path, engine: str, layout: str) -> None:
    """A dataset that is removed under the stream raises WriteError naming every accepted frame."""
    path = tmp_path / "run.ome.zarr"
    writing = stream(path, engine, **LAYOUTS[layout])
    for number in range(50):
        writing.append(noise(number), frame_metadata={"serial": number})
    writing.flush()
    while path.exists():  # the flush clock may put something back meanwhile
        shutil.rmtree(path, ignore_errors=True)
    accepted, error = append_until_it_fails(writing, 50)
    assert error.frames == tuple(range(accepted))
