"""``ome-writers preview`` and ``ome-writers watch`` from the outside."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    Position,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers.cli import main
from ome_writers.cli.contact_sheet import SheetRow, draw_sheet, rows_of_view
from support.acquisitions import acquisition

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return an OME-Zarr of six frames."""
    path = tmp_path / "a.ome.zarr"
    with create_stream(acquisition("single", path)) as stream:
        for number in range(6):
            stream.append(np.full((4, 6), number, "uint16"))
    return path


def test_preview_draws_beside_the_dataset(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a name the picture lies beside the dataset and is called after it; its name is printed."""
    assert main(["preview", str(dataset)]) == 0
    picture = dataset.with_name("a.png")
    assert capsys.readouterr().out == f"{picture}\n"
    assert picture.read_bytes().startswith(PNG)


def test_preview_says_json(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` names the picture and says how many rows and columns it has; ``--rows`` limits them."""
    picture = dataset.with_name("sheet.png")
    assert main(["preview", str(dataset), "-o", str(picture), "--rows", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"path": str(dataset), "picture": str(picture), "rows": 1, "columns": 3}
    assert picture.read_bytes().startswith(PNG)


def test_preview_replaces_nothing_without_overwrite(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An existing picture, and a link in its place, stay as they are until ``--overwrite`` is given."""
    picture = dataset.with_name("a.png")
    picture.write_bytes(b"mine")
    assert main(["preview", str(dataset)]) == 1
    streams = capsys.readouterr()
    assert str(picture) in streams.err
    assert "--overwrite" in streams.err
    assert streams.out == ""
    assert picture.read_bytes() == b"mine"
    assert main(["preview", str(dataset), "--overwrite"]) == 0
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")
def test_preview_never_writes_through_a_link(dataset: Path) -> None:
    """A link in the picture's place is refused, and with ``--overwrite`` replaced itself, not its target."""
    picture, target = dataset.with_name("a.png"), dataset.with_name("notes.txt")
    target.write_bytes(b"mine")
    picture.symlink_to(target)
    assert main(["preview", str(dataset)]) == 1
    assert main(["preview", str(dataset), "--overwrite"]) == 0
    assert target.read_bytes() == b"mine"
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "0"], "'0' is not a positive whole number"),
        (["-o", "sheet.jpg"], "sheet.jpg does not end in .png"),
    ],
)
def test_preview_refuses_in_a_sentence(
    dataset: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no number of rows, and a picture that would not be a PNG, are refused."""
    before = set(dataset.parent.iterdir())
    assert main(["preview", str(dataset), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert set(dataset.parent.iterdir()) == before


def test_watch_ends_with_the_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``watch`` goes on while a stream is open and ends when it is closed; ``--json`` says the last state."""
    path = tmp_path / "a.ome.zarr"
    status = []
    with create_stream(acquisition("single", path)) as stream:
        watching = threading.Thread(
            target=lambda: status.append(main(["watch", str(path), "--interval", "0.01", "--json"]))
        )
        watching.start()
        for number in range(6):
            stream.append(np.full((4, 6), number, "uint16"))
        assert watching.is_alive()
    watching.join(60)
    assert status == [0]
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["frames_written"]) == ("complete", 6)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_watch_ends_when_the_writer_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """Of a writer that will never be done ``watch`` and ``info`` say so, and what to do next."""
    path = tmp_path / f"killed{suffix}"
    code = """
import os, signal, sys, numpy
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
dimensions = dims_from_standard_axes({"t": 5, "y": 8, "x": 8})
stream = create_stream(AcquisitionSettings(root_path=sys.argv[1], dimensions=dimensions, dtype="uint8"))
stream.append(numpy.ones((8, 8), "uint8"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert main(["watch", str(path)]) == 1
    said = "".join(capsys.readouterr().err.split())  # without the breaks of lines
    assert f"ome-writersrepair{path}" in said
    assert main(["info", str(path)]) == 0
    assert f"ome-writersrepair{path}" in "".join(capsys.readouterr().out.split())


def test_watch_shows_what_is_done(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset that is complete is shown once."""
    assert main(["watch", str(dataset)]) == 0
    title, facts = capsys.readouterr().out.splitlines()
    assert title == str(dataset)
    assert "status complete" in facts
    assert "frames 6" in facts


def test_watch_shows_nothing_of_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is refused is said on stderr; stdout stays empty."""
    assert main(["watch", str(tmp_path / "none.ome.zarr")]) == 1
    streams = capsys.readouterr()
    assert "does not exist" in streams.err
    assert not streams.out


def test_a_sheet_tells_the_fields_of_a_plate_apart() -> None:
    """Positions of one name in different wells have their number before it; other names stay as they are."""
    for names, shown in (
        (("f0", "f1", "f0"), ["0: f0", "1: f1", "2: f0"]),
        (("a", "b", "c"), ["a", "b", "c"]),
    ):
        wells = [Position(name=n, plate_row="A", plate_column=str(w)) for w, n in enumerate(names)]
        settings = AcquisitionSettings(
            dimensions=[
                Dimension(name="p", type="position", coords=wells),
                *dims_from_standard_axes({"y": 4, "x": 6}),
            ],
            dtype="uint8",
        )
        with create_stream(settings) as stream:
            for _ in wells:
                stream.append(np.ones((4, 6), "uint8"))
            rows, _ = rows_of_view(stream.view(), most=9)
        assert [row.name for row in rows] == shown


def test_a_sheet_is_wide_enough_for_its_title(tmp_path: Path) -> None:
    """A sheet of one column is not narrower than what stands above it."""
    image = pytest.importorskip("PIL.Image")
    row = SheetRow("a", "b", 0, (np.ones((4, 4)),))
    draw_sheet(
        [row], ["t = 0"], "a-rather-long-name.ome.zarr   p 6, c 2, y 512, x 512", tmp_path / "x.png"
    )
    with image.open(tmp_path / "x.png") as picture:
        assert picture.width > 400
