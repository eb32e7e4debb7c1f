"""What commands show, with rich and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ome_writers import create_stream
from ome_writers.cli.console import PlainScreen, RichScreen, human_size, open_screen
from support.acquisitions import acquisition

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.cli.console import Screen

SCREENS = (PlainScreen, RichScreen)


@pytest.fixture(params=SCREENS)
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return each kind of screen, rich's on a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    return request.param()


def test_facts_and_tables_show_every_cell(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    """Titles, names, values and cells appear on stdout as they are, brackets included."""
    screen.facts("a title", {"first [bold]": "one", "second": "two [/x]"})
    screen.table("images", ("path", "axes"), [("0", "t=3, y=4"), ("1", "t=5, y=6")])
    output = capsys.readouterr().out
    for text in ("a title", "first [bold]", "one", "two [/x]", "path", "t=3, y=4", "t=5, y=6"):
        assert text in output


def test_a_table_too_wide_for_the_terminal_becomes_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 40 columns no word of a cell is cut in pieces: each row stands by itself."""
    monkeypatch.setenv("COLUMNS", "40")
    row = ("run_p000.ome.tiff", "fluorescence", "t=4 (1 second)", "micrometers", "not compressed")
    RichScreen().table("images", ("path", "name", "axes", "dtype", "storage"), [row])
    output = capsys.readouterr().out
    for word in " ".join(row).split():
        assert word in output


def test_work_of_unknown_length_is_not_told_to_a_pipe(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wheel turns on a terminal only."""
    with screen.busy("Looking at [it]"):
        pass
    assert not "".join(capsys.readouterr()).strip()


def test_data_is_one_json_document(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown for machines is a JSON document and nothing else."""
    content = {"name": "µm " + "long " * 50, "sizes": [1, 2]}
    screen.data(content)
    assert json.loads(capsys.readouterr().out) == content


def test_complaints_and_progress_go_to_stderr(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe that reads stdout sees neither the bar nor the errors."""
    with screen.progress("Camera", 20) as advance:
        for _ in range(20):
            advance("7 frames/s")
    screen.complain("it broke [again]")
    streams = capsys.readouterr()
    assert not streams.out
    assert "20/20" in streams.err
    assert "7 frames/s" in streams.err
    assert "ome-writers: it broke [again]" in streams.err


def test_a_pipe_gets_plain_text() -> None:
    """Where stdout is no terminal, the plain screen is used."""
    assert isinstance(open_screen(), PlainScreen)


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_force_color_colours_a_pipe(
    tmp_path: Path, variables: dict[str, str], coloured: bool
) -> None:
    """FORCE_COLOR colours what goes to a pipe, without cursor movements; NO_COLOR wins; JSON has no colours."""
    with create_stream(acquisition("single", tmp_path / "a.ome.zarr")):
        pass

    def run(*arguments: str) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "ome_writers", *arguments],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, **variables},
            encoding="utf-8",
            timeout=60,
        )
        return done.stdout, done.stderr

    out, error = run("info", "a.ome.zarr", "missing")
    assert ("\x1b[1m" in out) is coloured
    assert ("\x1b[1;31m" in error) is coloured
    assert "\x1b[?" not in out + error
    assert json.loads(run("info", "a.ome.zarr", "--json")[0])["layout"] == "image"


def test_no_color_removes_colours_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal NO_COLOR leaves bold text and boxes, and no colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    screen = open_screen()
    assert isinstance(screen, RichScreen)
    screen.facts("a title", {"first": "one"})
    output = capsys.readouterr().out
    assert "first" in output
    assert "36m" not in output


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal without rich shows plain text instead of an error."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(open_screen(), RichScreen)
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    assert isinstance(open_screen(), PlainScreen)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (63_000_000, "60.1 MiB"),
        (500 * 1024**2, "500 MiB"),
        (3 * 1024**5, "3072 TiB"),
    ],
)
def test_human_size(count: int, words: str) -> None:
    """Bytes are said in binary units with three or four digits."""
    assert human_size(count) == words
