"""Terminal output, with and without rich."""

from __future__ import annotations

import json
import re

import pytest

from ome_writers_tools.cli.console import PlainOutput, RichOutput, Screen, open_output
from ome_writers_tools.cli.quantities import human_size


@pytest.fixture(params=(PlainOutput, RichOutput))
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "100")
    return Screen(request.param())


def test_fields_and_tables_do_not_interpret_markup(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.fields("a title", {"first [bold]": "one", "second": "two [/x]"})
    screen.table("images", ("path", "axes"), [("0", "t=3, y=4"), ("1", "t=5, y=6")])
    output = capsys.readouterr().out
    for text in ("a title", "first [bold]", "one", "two [/x]", "path", "t=3, y=4", "t=5, y=6"):
        assert text in output


def test_wide_table_becomes_fields_on_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 40 columns no word of a cell is broken."""
    monkeypatch.setenv("COLUMNS", "40")
    row = ("run_p000.ome.tiff", "fluorescence", "t=4 (1 second)", "micrometers", "not compressed")
    RichOutput().table("images", ("path", "name", "axes", "dtype", "storage"), [row])
    output = capsys.readouterr().out
    for word in " ".join(row).split():
        assert word in output


def test_no_spinner_in_a_pipe(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    with screen.spinner("Reading [it]"):
        pass
    assert not "".join(capsys.readouterr()).strip()


def test_json_is_one_document(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"name": "µm " + "long " * 50, "sizes": [1, 2]}
    screen.json(content)
    assert json.loads(capsys.readouterr().out) == content


def test_errors_and_progress_go_to_stderr(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    with screen.progress("Camera", 20) as advance:
        for _ in range(20):
            advance("7 frames/s")
    screen.error("it broke [again]")
    streams = capsys.readouterr()
    assert not streams.out
    assert re.search("20( of |/)20", streams.err)
    assert "7 frames/s" in streams.err
    assert "ome-writers: it broke [again]" in streams.err


def test_pipe_gets_plain_text() -> None:
    assert isinstance(open_output(), PlainOutput)


def test_no_color_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    output = open_output()
    assert isinstance(output, RichOutput)
    output.fields("a title", {"first": "one"})
    printed = capsys.readouterr().out
    assert "first" in printed
    assert "36m" not in printed


def test_terminal_without_rich_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(open_output(), RichOutput)
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    assert isinstance(open_output(), PlainOutput)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (63_000_000, "60.1 MiB"),
        (500 * 1024**2, "500 MiB"),
        (3 * 1024**5, "3072 TiB"),
    ],
)
def test_human_size(count: int, text: str) -> None:
    assert human_size(count) == text


def test_progress_in_a_pipe_is_one_line_per_phase(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainOutput().progress("Written", 300) as advance:
        for _ in range(300):
            advance("7 frames/s")
    assert capsys.readouterr().err == "Written: 300 of 300  7 frames/s\n"


def test_live_values_in_a_pipe_are_printed_when_they_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with PlainOutput().live("run", ("frames",)) as show:
        for second in range(4):
            show({"frames": str(second // 2), "watched for": f"{second} s"})
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["run", "  frames 0; watched for 0 s", "  frames 1; watched for 2 s"]


def test_table_of_bench_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    columns = ("engine", "format", "frames/s", "MB/s", "longest append", "on disk")
    rows = [
        ("acquire-zarr", "ome-zarr", "1234", "10240", "1234 ms", "100%"),
        ("zarrs-python", "ome-zarr", "98", "821", "56 ms", "100%"),
    ]
    for fps in ((), ("keeps up with 100 frames/s",)):
        RichOutput().table(
            "2048x2048 uint16 to /tmp",
            (*columns, *fps),
            [(*row, *("yes" for _ in fps)) for row in rows],
        )
        output = capsys.readouterr().out
        assert all(len(line) <= 80 for line in output.splitlines())
        for word in ("acquire-zarr", "zarrs-python", "frames/s", "longest", "append", "10240"):
            assert word in output
