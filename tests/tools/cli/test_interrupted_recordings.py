"""What the commands print of a recording whose writer was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ome_writers import AcquisitionSettings, dims_from_standard_axes
from ome_writers_tools.cli import main
from support.interrupted import write_and_kill


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    dimensions = dims_from_standard_axes({"t": 9, "y": 4, "x": 6})
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr", dimensions=dimensions, dtype="uint16"
    )
    return write_and_kill(settings, flushed=5, appended=5)


def test_info_shows_that_a_recording_was_interrupted(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(killed)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "status writing (interrupted: its writer has ended without closing it)" in printed
    assert "frames 5 of 9" in printed


@pytest.mark.parametrize("command", [["validate"], ["repair", "--dry-run"]])
def test_command_that_changes_nothing_lists_problems_only(
    killed: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    main([*command, str(killed)])
    printed = capsys.readouterr().out
    assert "shape 9 x 4 x 6 instead of 5 x 4 x 6" in printed
    for done in ("corrected", "removed", "written:", ": written"):
        assert done not in printed


def test_info_of_a_recording_that_could_not_be_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a full disk: no process holds the lock, and the number of frames was not flushed."""
    path = tmp_path / "a.ome.tiff"
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=dims_from_standard_axes({"t": 9, "y": 4, "x": 6}),
        dtype="uint16",
        flush_interval=1000,
    )
    write_and_kill(settings, flushed=0, appended=5)
    (tmp_path / ".a.ome.tiff.lock").unlink()
    assert main(["info", str(path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "status writing (no process is writing it: a copy, or its writer has failed)" in printed
    assert "frames unknown, 9 expected" in printed
    assert f'ome-writers repair "{path}"' in printed
