"""``ome-writers demo``: the demo camera, an unmodified pymmcore-plus, an independent reader.

Micro-Manager's core gets a process of its own each time: it shares one badly with whatever other tests have loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers.cli.demo.acquisition import Delivered
from ome_writers.cli.demo.third_party_readers import look

pytestmark = [pytest.mark.camera, pytest.mark.timeout(240)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder, in which the demo runs."""
    return tmp_path


def _run(folder: Path, *arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run the demo as a program, a module of this name missing."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({without.split()!r})); "
        "sys.argv.insert(1, 'demo'); from ome_writers.cli import script; script()"
    )
    command = [sys.executable, "-X", "faulthandler", "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110)
    if done.returncode < 0:  # seen once in dozens of runs on a busy machine: the core's own threads
        print(done.stderr)
        again = [*command, "--overwrite"]
        done = subprocess.run(again, cwd=folder, capture_output=True, text=True, timeout=110)
    return done


def _demo(folder: Path, *arguments: str, without: str = "") -> dict[str, Any]:
    """Run a demo of two time points that must succeed, and return its report."""
    done = _run(folder, "--timepoints", "2", "--json", *arguments, without=without)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_demo_writes_what_the_camera_delivered(folder: Path, name: str) -> None:
    """Every frame is on disk as delivered, and the report says axes, shape, channels, status."""
    result = _demo(folder, name)
    assert (result["frames_planned"], result["frames_delivered"]) == (40, 40)
    assert result["frames_wrong"] == 0
    sizes = dict(zip(result["axes"], result["shape"], strict=True))
    assert sizes == {"t": 2, "c": 2, "z": 5, "y": 512, "x": 512}
    assert result["channels"] == ["DAPI", "FITC"]
    assert result["images"] == ["left", "right"]
    assert result["bytes_on_disk"] > 40 * 512 * 512 * 2 * 0.1
    assert result["dtype"] == "uint16"
    assert result["status"] == "complete"


def test_the_demo_camera_keeps_to_its_memory() -> None:
    """No pixels are dropped: with 16-bit pixels the demo camera would write beyond its memory (mm-test-adapters 12)."""
    code = """if True:
        from ome_writers.cli.demo.acquisition import _end_notifications, open_microscope

        core = open_microscope(1).core
        frames = set()
        for _ in range(40):
            core.snapImage()
            frames.add(core.getImage().tobytes())
        wild = [core.getProperty("Camera", name) for name in ("DropPixels", "SaturatePixels")]
        _end_notifications(core)
        print(len(frames), *wild)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110)
    assert done.stdout.split() == ["40", "0", "0"], done.stderr


def test_demo_draws_a_contact_sheet(folder: Path) -> None:
    """The picture has a bright and a dark side in each of its four rows and two columns."""
    from PIL import Image

    result = _demo(folder, "run.ome.zarr")
    picture = np.asarray(Image.open(folder / result["picture"]).convert("L"), float)
    for row in range(4):
        for column in range(2):
            top, left = 58 + row * 166, 110 + column * 166
            assert picture[top : top + 160, left : left + 160].std() > 20


def test_demo_takes_the_next_free_name(folder: Path) -> None:
    """Without a name, what is there stays and the next free name is taken."""
    (folder / "demo.ome.zarr").mkdir()
    assert _demo(folder)["path"] == "demo-1.ome.zarr"
    assert not list((folder / "demo.ome.zarr").iterdir())


def test_demo_does_not_replace_unasked(folder: Path) -> None:
    """A name that is taken is refused; ``--overwrite`` replaces what this library wrote."""
    _demo(folder, "run.ome.zarr")
    before = (folder / "run.ome.zarr" / "zarr.json").stat().st_mtime_ns
    done = _run(folder, "run.ome.zarr")
    assert done.returncode == 1
    assert "run.ome.zarr exists; give another name, or --overwrite" in done.stderr
    assert (folder / "run.ome.zarr" / "zarr.json").stat().st_mtime_ns == before
    assert _demo(folder, "run.ome.zarr", "--overwrite")["frames_wrong"] == 0


def test_demo_replaces_no_picture_without_overwrite(folder: Path) -> None:
    """An existing picture is refused before anything is acquired; ``--overwrite`` replaces it."""
    (folder / "run.png").write_bytes(b"mine")
    done = _run(folder, "run.ome.zarr", "--timepoints", "1")
    assert done.returncode == 1
    assert "run.png exists" in done.stderr
    assert "--overwrite" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["run.png"]
    assert (folder / "run.png").read_bytes() == b"mine"
    _demo(folder, "run.ome.zarr", "--overwrite")
    assert (folder / "run.png").read_bytes().startswith(b"\x89PNG")


def test_demo_never_replaces_what_is_not_ours(folder: Path) -> None:
    """``--overwrite`` refuses a folder that this library did not write, and leaves it alone."""
    (folder / "mine.ome.zarr").mkdir()
    (folder / "mine.ome.zarr" / "thesis.txt").write_text("precious")
    done = _run(folder, "mine.ome.zarr", "--overwrite", "--timepoints", "1")
    assert done.returncode == 1
    assert (folder / "mine.ome.zarr" / "thesis.txt").read_text() == "precious"
    assert "Traceback" not in done.stderr


def test_demo_refuses_a_name_without_a_format(folder: Path) -> None:
    """A name that says no format ends with a sentence, and nothing is written."""
    done = _run(folder, "run")
    assert done.returncode == 2
    assert "let it end in .ome.zarr or .ome.tiff" in done.stderr
    assert not list(folder.iterdir())


def test_demo_shows_a_table(folder: Path) -> None:
    """For people, the result is a table, and the progress goes to stderr."""
    done = _run(folder, "run.ome.zarr", "--timepoints", "1")
    assert done.returncode == 0, done.stderr
    for words in ("opened with", "t, c, z, y, x", "DAPI, FITC", "frames/s", "complete", "run.png"):
        assert words in done.stdout
    assert "20/20" in done.stderr


@pytest.mark.parametrize(
    ("module", "name"),
    [("pymmcore_plus", "pymmcore-plus"), ("PIL", "pillow")],
)
def test_a_missing_library_is_named(folder: Path, module: str, name: str) -> None:
    """A library that is not installed is named before anything is written, with the command."""
    done = _run(folder, "run.ome.zarr", "--timepoints", "1", without=module)
    assert done.returncode == 1
    error = done.stderr
    assert f"needs {name}, which is not installed" in error
    assert "pip install 'ome-writers[demo]'" in error
    assert not list(folder.iterdir())


def test_the_witness_notices_a_wrong_frame(folder: Path) -> None:
    """A frame that is not at its place, or differs, is found."""
    _demo(folder, "run.ome.zarr")
    seen = look(folder / "run.ome.zarr")
    wrong = (
        Delivered({"t": 0, "p": 0, "c": 0, "z": 0}, checksum=12345),
        Delivered({"t": 0, "p": 7, "c": 0, "z": 0}, checksum=12345),
    )
    assert seen.mismatches(wrong) == list(wrong)


def test_the_witness_reads_without_zarr_python(folder: Path) -> None:
    """Where zarr-python 3 is missing (Python 3.10), tensorstore is the reader."""
    result = _demo(folder, "run.ome.zarr", without="zarr")
    assert result["reader"].startswith("tensorstore")
    assert result["frames_wrong"] == 0


@pytest.mark.parametrize("name", ["s3://bucket/run.ome.zarr", "run.png"])
def test_demo_refuses_urls_and_foreign_formats(folder: Path, name: str) -> None:
    """A target that cannot be written is a usage error in one sentence; nothing appears in the folder."""
    done = _run(folder, name)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        "local paths only" in done.stderr or "let it end in .ome.zarr or .ome.tiff" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not list(folder.iterdir())
