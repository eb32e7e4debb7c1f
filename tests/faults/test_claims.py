"""One stream a path: others are refused, what is not ours is left alone, a failing start leaves all as it was."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from faults.datasets import ENGINE_NAMES, missing, mounted, noise, run, stream
from ome_writers import OutputExistsError, OutputLockedError, WriteError

pytest.importorskip("zarr", reason="zarr-python judges what is left")
pytest.importorskip("tensorstore", reason="tensorstore judges what is left")
pytestmark = [pytest.mark.timeout(120), pytest.mark.short]

LOCK = ".ome-writers.lock"


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its bytes."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_streams_on_one_path(tmp_path: Path, overwrite: bool) -> None:
    """A second stream is refused while the first writes, and does the first no harm."""
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


def test_a_second_process_on_the_path(tmp_path: Path) -> None:
    """A stream of another process is refused, too, also with overwrite=True."""
    path = tmp_path / "run.ome.zarr"
    code = "stream(Path(sys.argv[1]), overwrite=True)"
    with stream(path) as first:
        first.append(noise(0))
        assert "OutputLockedError" in run(code, path, expect=1).stderr
        first.append(noise(1))
    assert not missing(path, 2)


def test_a_stale_lock_is_recognised(tmp_path: Path) -> None:
    """The lock of a process that has ended, or a torn one, does not stop overwrite=True."""
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


def test_the_lock_of_another_host_counts(tmp_path: Path) -> None:
    """A lock of another machine cannot be checked and is respected."""
    path = tmp_path / "run.ome.zarr"
    stream(path).close()
    (path / LOCK).write_text(json.dumps({"pid": 1, "host": "elsewhere.invalid"}))
    before = contents(path)
    with pytest.raises(OutputLockedError, match=r"elsewhere\.invalid"):
        stream(path, overwrite=True)
    assert contents(path) == before


def test_a_killed_writer_can_be_overwritten(tmp_path: Path) -> None:
    """What a killed process has left, lock included, is replaced with overwrite=True."""
    path = tmp_path / "run.ome.zarr"
    code = "w = stream(Path(sys.argv[1]))\nw.append(noise(9))\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    run(code, path, expect=-9)
    assert (path / LOCK).exists()
    with pytest.raises(OutputExistsError):
        stream(path)
    with stream(path, overwrite=True) as writing:
        writing.append(noise(0))
    assert not missing(path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ome.zarr"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["empty folder", "photographs", "other JSON", "file", "link"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, kind: str, overwrite: bool) -> None:
    """A folder, file or link of somebody else's is refused, with overwrite=True as well."""
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
def test_a_failing_start_restores_the_old_data(tmp_path: Path, engine: str) -> None:
    """When the new stream cannot begin, the dataset that it was to replace is there, byte for byte."""
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
        (folder / "filler-0").unlink()  # room for the folder, not for what belongs into it
        with pytest.raises((WriteError, OSError)):
            stream(path, engine, overwrite=True)
        for filler in folder.glob("filler-*"):
            filler.unlink()
        assert contents(folder) == before
        assert not missing(path, 4)
