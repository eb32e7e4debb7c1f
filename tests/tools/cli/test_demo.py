"""``ome-writers demo``: the demo camera, an unmodified pymmcore-plus, a third-party reader.

Each test runs Micro-Manager's core in a new process, because it is unstable next to libraries that other tests load.
"""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import create_stream, dims_from_standard_axes
from ome_writers_tools.cli.demo.acquisition import DeliveredFrame
from ome_writers_tools.cli.demo.third_party_readers import open_with_third_party_reader
from support.preloaded import run_python

pytestmark = [pytest.mark.camera, pytest.mark.timeout(600)]


def _run(tmp_path: Path, *arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run the demo as a program, as if the module `without` were not installed."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({without.split()!r})); "
        "sys.argv.insert(1, 'demo'); from ome_writers_tools.cli import script; script()"
    )
    command = ["-c", code, *arguments]
    done = run_python(command, cwd=tmp_path, timeout_s=110)
    if (
        done.returncode < 0
    ):  # a crash in the core's threads, once in dozens of runs on a busy machine
        print(done.stderr)
        done = run_python([*command, "--overwrite"], cwd=tmp_path, timeout_s=110)
    return done


def _demo(
    tmp_path: Path, *arguments: str, timepoints: int = 1, without: str = ""
) -> dict[str, Any]:
    """Run a successful demo; return its JSON."""
    done = _run(tmp_path, "--timepoints", str(timepoints), "--json", *arguments, without=without)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_demo_writes_and_draws_what_the_camera_delivered(tmp_path: Path, name: str) -> None:
    """The contact sheet shows a composite and two channels of both positions, at two time points, with contrast."""
    image = pytest.importorskip("PIL.Image", reason="pillow reads the picture")
    result = _demo(tmp_path, name, timepoints=2)
    assert (result["frames_planned"], result["frames_delivered"]) == (40, 40)
    assert result["frames_wrong"] == 0
    sizes = dict(zip(result["axes"], result["shape"], strict=True))
    assert sizes == {"t": 2, "c": 2, "z": 5, "y": 512, "x": 512}
    assert result["channels"] == ["DAPI", "FITC"]
    assert result["images"] == ["left", "right"]
    assert result["bytes_on_disk"] > 40 * 512 * 512 * 2 * 0.1
    assert result["dtype"] == "uint16"
    assert result["status"] == "complete"
    picture = np.asarray(image.open(tmp_path / result["picture"]).convert("RGB"), float).max(-1)
    for row in range(6):
        for column in range(2):
            top, left = 58 + row * 166, 110 + column * 166
            assert picture[top : top + 160, left : left + 160].std() > 20


def test_demo_camera_without_drop_pixels() -> None:
    """With DropPixels and 16-bit pixels the demo camera writes out of bounds (mm-test-adapters 12)."""
    code = """if True:
        from ome_writers_tools.cli.demo.acquisition import open_microscope, stop_notifications

        core = open_microscope(1).core
        frames = set()
        for _ in range(40):
            core.snapImage()
            frames.add(core.getImage().tobytes())
        wild = [core.getProperty("Camera", name) for name in ("DropPixels", "SaturatePixels")]
        stop_notifications(core)
        print(len(frames), *wild)
    """
    done = run_python(["-c", code], timeout_s=110)
    assert done.stdout.split() == ["40", "0", "0"], done.stderr


def test_demo_uses_next_unused_name(tmp_path: Path) -> None:
    (tmp_path / "demo.ome.zarr").mkdir()
    assert _demo(tmp_path)["path"] == "demo-1.ome.zarr"
    assert not list((tmp_path / "demo.ome.zarr").iterdir())


def test_demo_replaces_dataset_and_contact_sheet_only_with_overwrite(tmp_path: Path) -> None:
    """An existing contact sheet is refused before the acquisition. The result is shown as a table."""
    (tmp_path / "run.png").write_bytes(b"mine")
    done = _run(tmp_path, "run.ome.zarr", "--timepoints", "1")
    assert done.returncode == 1
    assert "run.png already exists" in done.stderr
    assert "--overwrite" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run.png"]
    assert (tmp_path / "run.png").read_bytes() == b"mine"

    done = _run(tmp_path, "run.ome.zarr", "--timepoints", "1", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    for words in ("opened with", "t, c, z, y, x", "DAPI, FITC", "frames/s", "complete", "run.png"):
        assert words in done.stdout
    assert "20 of 20" in done.stderr

    before = (tmp_path / "run.ome.zarr" / "zarr.json").stat().st_mtime_ns
    done = _run(tmp_path, "run.ome.zarr")
    assert done.returncode == 1
    assert "run.ome.zarr already exists; choose another name, or pass --overwrite" in done.stderr
    assert (tmp_path / "run.ome.zarr" / "zarr.json").stat().st_mtime_ns == before
    assert _demo(tmp_path, "run.ome.zarr", "--overwrite")["frames_wrong"] == 0


def test_demo_overwrite_refuses_foreign_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.ome.zarr").mkdir()
    (tmp_path / "mine.ome.zarr" / "thesis.txt").write_text("precious")
    done = _run(tmp_path, "mine.ome.zarr", "--overwrite", "--timepoints", "1")
    assert done.returncode == 1
    assert (tmp_path / "mine.ome.zarr" / "thesis.txt").read_text() == "precious"
    assert "Traceback" not in done.stderr


def test_demo_refuses_name_without_suffix(tmp_path: Path) -> None:
    done = _run(tmp_path, "run")
    assert done.returncode == 2
    assert "use .ome.zarr or .ome.tiff" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "name"),
    [("pymmcore_plus", "pymmcore-plus"), ("PIL", "pillow")],
)
def test_missing_library_is_named_before_acquisition(
    tmp_path: Path, module: str, name: str
) -> None:
    done = _run(tmp_path, "run.ome.zarr", "--timepoints", "1", without=module)
    assert done.returncode == 1
    error = done.stderr
    assert f"needs {name}, which is not installed" in error
    assert 'pip install "ome-writers[demo]"' in error
    assert not list(tmp_path.iterdir())


def test_mismatches_finds_wrong_and_missing_frames(tmp_path: Path) -> None:
    axes = {"t": 1, "p": 2, "c": 1, "z": 1, "y": 32, "x": 32}
    frame = np.arange(32 * 32, dtype="uint16").reshape(32, 32)
    path = tmp_path / "run.ome.zarr"
    with create_stream(
        root_path=path, dimensions=dims_from_standard_axes(axes), dtype="uint16"
    ) as stream:
        for _ in range(2):
            stream.append(frame)
    dataset = open_with_third_party_reader(path)
    right = DeliveredFrame({"t": 0, "p": 0, "c": 0, "z": 0}, checksum=zlib.crc32(frame.tobytes()))
    wrong = (
        DeliveredFrame({"t": 0, "p": 1, "c": 0, "z": 0}, checksum=12345),
        DeliveredFrame({"t": 0, "p": 7, "c": 0, "z": 0}, checksum=12345),
    )
    assert dataset.mismatches((right, *wrong)) == list(wrong)


def test_tensorstore_reads_without_zarr_python(tmp_path: Path) -> None:
    """Python 3.10 has no zarr-python 3."""
    result = _demo(tmp_path, "run.ome.zarr", without="zarr")
    assert result["reader"].startswith("tensorstore")
    assert result["frames_wrong"] == 0


@pytest.mark.parametrize("name", ["s3://bucket/run.ome.zarr", "run.png"])
def test_demo_refuses_urls_and_foreign_formats(tmp_path: Path, name: str) -> None:
    """A target that cannot be written is a usage error in one sentence; nothing appears in the tmp_path."""
    done = _run(tmp_path, name)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "local paths only" in done.stderr or "use .ome.zarr or .ome.tiff" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
