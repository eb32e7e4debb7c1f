"""One stream per path: others are refused, foreign files are not touched, a failing start changes nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from faults.datasets import ENGINE_NAMES, missing, mounted, noise, run, stream
from ome_writers import OutputExistsError, OutputLockedError, WriteError

pytest.importorskip("zarr", reason="zarr-python reads the result")
pytest.importorskip("tensorstore", reason="tensorstore reads the result")
pytestmark = [pytest.mark.timeout(600), pytest.mark.short]

LOCK = ".ome-writers.lock"


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return the bytes of every file below a directory."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("overwrite", [False, True])
def test_second_stream_on_a_path_is_refused(tmp_path: Path, overwrite: bool) -> None:
    """The first stream is not affected."""
    path = tmp_path / "run.ome.zarr"
    with stream(path) as first:
        for number in range(20):
            first.append(noise(number))
        with pytest.raises(OutputLockedError, match="process"):
            stream(path, overwrite=overwrite)
        for number in range(20, 40):
            first.append(noise(number))
    assert not missing(path, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.ome.zarr"]


def test_second_process_on_a_path_is_refused(tmp_path: Path) -> None:
    """Also with overwrite=True."""
    path = tmp_path / "run.ome.zarr"
    code = "stream(Path(sys.argv[1]), overwrite=True)"
    with stream(path) as first:
        first.append(noise(0))
        assert "OutputLockedError" in run(code, path, expect=1).stderr
        first.append(noise(1))
    assert not missing(path, 2)


def test_stale_lock_is_replaced(tmp_path: Path) -> None:
    """The lock of an ended process, or a torn one, does not block overwrite=True."""
    path = tmp_path / "run.ome.zarr"
    stream(path).close()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for lock in (json.dumps({"pid": gone.pid, "host": socket.gethostname()}), '{"pid": 1', ""):
        (path / LOCK).write_text(lock)
        with stream(path, overwrite=True) as writing:
            writing.append(noise(0))
        assert not missing(path, 1)
        assert not (path / LOCK).exists()


def test_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    stream(path).close()
    (path / LOCK).write_text(json.dumps({"pid": 1, "host": "elsewhere.invalid"}))
    before = contents(path)
    with pytest.raises(OutputLockedError, match=r"elsewhere\.invalid"):
        stream(path, overwrite=True)
    assert contents(path) == before


def test_overwrite_replaces_output_of_a_killed_writer(tmp_path: Path) -> None:
    """Including its lock; the interrupted recording is kept beside it."""
    path = tmp_path / "run.ome.zarr"
    code = "w = stream(Path(sys.argv[1]))\nw.append(noise(9))\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    run(code, path, expect=-9)
    assert (path / LOCK).exists()
    with pytest.raises(OutputExistsError):
        stream(path)
    with stream(path, overwrite=True) as writing:
        writing.append(noise(0))
    assert not missing(path, 1)
    kept = ["run.interrupted-1.ome.zarr", "run.ome.zarr"]
    assert sorted(p.name for p in tmp_path.iterdir()) == kept


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["empty folder", "photographs", "other JSON", "file", "link"])
def test_foreign_files_are_refused(tmp_path: Path, kind: str, overwrite: bool) -> None:
    """A directory, file or link of another program is refused, also with overwrite=True."""
    path = tmp_path / "run.ome.zarr"
    if kind == "file":
        path.write_text("a diary")
    elif kind == "link":
        stream(tmp_path / "real.ome.zarr").close()
        path.symlink_to(tmp_path / "real.ome.zarr")
    else:
        path.mkdir()
    if kind == "photographs":
        (path / "holiday.jpg").write_bytes(b"\xff\xd8\xff")
    if kind == "other JSON":
        (path / "zarr.json").write_text('{"attributes": {"mine": 1}}')
    before = contents(tmp_path)
    with pytest.raises(OutputExistsError):
        stream(path, overwrite=overwrite)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_failed_start_restores_the_old_dataset(tmp_path: Path, engine: str) -> None:
    """The dataset to be replaced is unchanged, byte for byte."""
    with mounted(tmp_path / "small", "-o", "size=2m,nr_inodes=60") as folder:
        path = folder / "run.ome.zarr"
        with stream(path, engine, frames=4) as writing:
            for number in range(4):
                writing.append(noise(number))
        before = contents(folder)
        for filler in range(60):
            try:
                (folder / f"filler-{filler}").touch()
            except OSError:
                break
        (folder / "filler-0").unlink()  # space for the directory, but not for its contents
        with pytest.raises((WriteError, OSError)):
            stream(path, engine, overwrite=True)
        for filler in folder.glob("filler-*"):
            filler.unlink()
        assert contents(folder) == before
        assert not missing(path, 4)
