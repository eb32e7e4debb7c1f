"""``ome-writers demo``: the demo camera, an unmodified pymmcore-plus, an independent reader."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers.cli import main
from ome_writers.cli.acquisition import Delivered
from ome_writers.cli.witness import look

pytestmark = [pytest.mark.camera]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _demo(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["demo", "--timepoints", "2", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_demo_writes_what_the_camera_delivered(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Every frame is on disk as delivered, and the report says axes, shape, channels, status."""
    result = _demo(capsys, name)
    assert (result["frames_planned"], result["frames_delivered"]) == (40, 40)
    assert result["frames_wrong"] == 0
    sizes = dict(zip(result["axes"], result["shape"], strict=True))
    assert sizes == {"t": 2, "c": 2, "z": 5, "y": 512, "x": 512}
    assert result["channels"] == ["DAPI", "FITC"]
    assert result["images"] == ["left", "right"]
    assert result["bytes_on_disk"] > 40 * 512 * 512 * 2 * 0.1
    assert result["dtype"] == "uint16"
    assert result["status"] == "complete"


def test_demo_draws_a_contact_sheet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The picture has a bright and a dark side in each of its four rows and two columns."""
    from PIL import Image

    result = _demo(capsys, "run.ome.zarr")
    picture = np.asarray(Image.open(folder / result["picture"]).convert("L"), float)
    for row in range(4):
        for column in range(2):
            top, left = 58 + row * 166, 110 + column * 166
            assert picture[top : top + 160, left : left + 160].std() > 20


def test_demo_takes_the_next_free_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name, what is there stays and the next free name is taken."""
    (folder / "demo.ome.zarr").mkdir()
    assert _demo(capsys)["path"] == "demo-1.ome.zarr"
    assert not list((folder / "demo.ome.zarr").iterdir())


def test_demo_does_not_replace_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is taken is refused; ``--overwrite`` replaces what this library wrote."""
    _demo(capsys, "run.ome.zarr")
    before = (folder / "run.ome.zarr" / "zarr.json").stat().st_mtime_ns
    assert main(["demo", "run.ome.zarr"]) == 1
    assert "run.ome.zarr exists; give another name, or --overwrite" in capsys.readouterr().err
    assert (folder / "run.ome.zarr" / "zarr.json").stat().st_mtime_ns == before
    assert _demo(capsys, "run.ome.zarr", "--overwrite")["frames_wrong"] == 0


def test_demo_never_replaces_what_is_not_ours(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--overwrite`` refuses a folder that this library did not write, and leaves it alone."""
    (folder / "mine.ome.zarr").mkdir()
    (folder / "mine.ome.zarr" / "thesis.txt").write_text("precious")
    assert main(["demo", "mine.ome.zarr", "--overwrite", "--timepoints", "1"]) == 1
    assert (folder / "mine.ome.zarr" / "thesis.txt").read_text() == "precious"
    assert "Traceback" not in capsys.readouterr().err


def test_demo_refuses_a_name_without_a_format(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that says no format ends with a sentence, and nothing is written."""
    assert main(["demo", "run"]) == 1
    assert "let it end in .ome.zarr or .ome.tiff" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_demo_shows_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, the result is a table, and the progress goes to stderr."""
    assert main(["demo", "run.ome.zarr", "--timepoints", "1"]) == 0
    streams = capsys.readouterr()
    for words in ("opened with", "t, c, z, y, x", "DAPI, FITC", "frames/s", "complete", "run.png"):
        assert words in streams.out
    assert "20/20" in streams.err


@pytest.mark.parametrize(
    ("module", "name"),
    [("pymmcore_plus", "pymmcore-plus"), ("PIL", "pillow")],
)
def test_a_missing_library_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
) -> None:
    """A library that is not installed is named before anything is written, with the command."""
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo", "run.ome.zarr", "--timepoints", "1"]) == 1
    error = capsys.readouterr().err
    assert f"needs {name}, which is not installed" in error
    assert "pip install 'ome-writers[demo]'" in error
    assert not list(folder.iterdir())


def test_the_witness_notices_a_wrong_frame(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame that is not at its place, or differs, is found."""
    _demo(capsys, "run.ome.zarr")
    seen = look(folder / "run.ome.zarr")
    wrong = (
        Delivered({"t": 0, "p": 0, "c": 0, "z": 0}, checksum=12345),
        Delivered({"t": 0, "p": 7, "c": 0, "z": 0}, checksum=12345),
    )
    assert seen.mismatches(wrong) == list(wrong)


def test_the_witness_reads_without_zarr_python(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where zarr-python 3 is missing (Python 3.10), tensorstore is the reader."""
    monkeypatch.setitem(sys.modules, "zarr", None)
    result = _demo(capsys, "run.ome.zarr")
    assert result["reader"].startswith("tensorstore")
    assert result["frames_wrong"] == 0
