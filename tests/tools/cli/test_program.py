"""The program: help, exit statuses and error messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ome_writers
from ome_writers_tools.cli import commands, main
from ome_writers_tools.cli.program import COMMANDS, load_command

if TYPE_CHECKING:
    from ome_writers_tools.cli.command import Command


def test_every_module_of_commands_is_a_command() -> None:
    modules = {path.stem for path in Path(commands.__file__).parent.glob("[a-z]*.py")}
    assert sorted(COMMANDS) == sorted(modules)
    assert [load_command(name).name for name in COMMANDS] == [*COMMANDS]


@pytest.mark.parametrize("command", [*map(load_command, COMMANDS)], ids=COMMANDS)
def test_help_of_a_command_has_examples(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command.name, "--help"]) == 0
    output = capsys.readouterr().out
    assert command.summary in " ".join(output.split())
    for line, purpose in command.examples:
        assert line in output
        assert purpose in output


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for command in map(load_command, COMMANDS):
        assert f"{command.name} {command.summary}" in output


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ome-writers {ome_writers.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["info"], ["demo", "--timepoints", "0"]])
def test_usage_error_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert "usage: ome-writers" in streams.err
    assert not streams.out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("inof", "did you mean `info`?"),
        ("Validate", "did you mean `validate`?"),
        ("previw", "did you mean `preview`"),
        ("zzz", "choose from demo, info, preview"),
    ],
)
def test_unknown_command_suggests_similar(
    typed: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed, "run.ome.zarr"]) == 2
    streams = capsys.readouterr()
    assert f"unknown command {typed!r}" in streams.err
    assert hint in streams.err
    assert not streams.out


def test_path_without_command_suggests_info(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert f"ome-writers info {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["info", "--jsn", "x"], "unknown arguments: --jsn; did you mean --json?"),
        (["repair", "x", "--dryrun"], "did you mean --dry-run?"),
        (["demo", "--timepoint=3x", "--zzz"], "'3x' is not an integer from 1 to"),
        (["watch", "a", "b"], "unknown arguments: b"),
        (["convert", "a", "b", "--position", "3"], "unknown arguments: --position 3\n"),
    ],
)
def test_unknown_option_suggests_similar(
    typed: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 2
    error = capsys.readouterr().err
    assert f"usage: ome-writers {typed[0]}" in error
    assert hint in error


@pytest.mark.parametrize("command", ["info", "preview", "validate", "repair", "watch", "convert"])
def test_empty_path_is_usage_error(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unset shell variable must not select the current directory."""
    monkeypatch.chdir(tmp_path)
    destination = ["x.ome.tiff"] if command == "convert" else []
    assert main([command, "", *destination]) == 2
    assert "the path is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_failure_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "nothing.ome.zarr")]) == 1
    streams = capsys.readouterr()
    assert streams.err == f"ome-writers: {tmp_path / 'nothing.ome.zarr'} does not exist.\n"
    assert not streams.out


@pytest.mark.parametrize(
    ("command", "message"),
    [("validate", "nothing was changed"), ("demo", "frames written so far are kept")],
)
def test_ctrl_c_message_of_command(
    command: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(options: object, screen: object) -> int:
        raise KeyboardInterrupt

    row = replace(load_command(command), run=interrupted)
    monkeypatch.setattr(f"ome_writers_tools.cli.commands.{command}.COMMAND", row)
    assert main([command, str(tmp_path)]) == 130
    assert message in capsys.readouterr().err


INVALID_DATASETS = {
    "missing": lambda path: None,
    "empty": lambda path: path.mkdir(),
    "notes.txt": lambda path: path.write_text("hello, this is no picture"),
    "short.tif": lambda path: path.write_bytes(b"II*\0garbage"),
    "cut.ome.tif": lambda path: path.write_bytes(b"II*\0\xff\xff\0\0" + bytes(16)),
    "wild.ome.tiff": lambda path: path.write_bytes(b"II+\0\x08\0\0\0" + b"\xff" * 7 + b"\x7f"),
    "torn.ome.zarr": lambda path: _zarr_json(path, "{"),
    "hollow.ome.zarr": lambda path: _zarr_json(
        path, '{"attributes": {"ome": {"multiscales": [{}]}}}'
    ),
    "list.ome.zarr": lambda path: _zarr_json(path, "[]"),
    "odd.ome.zarr": lambda path: _zarr_json(path, '{"attributes": {"ome": [], "ome_writers": 3}}'),
}


def _zarr_json(path: Path, text: str) -> None:
    path.mkdir()
    (path / "zarr.json").write_text(text)


@pytest.mark.parametrize("name", INVALID_DATASETS)
@pytest.mark.parametrize("command", ["info", "preview", "watch", "validate", "repair", "convert"])
def test_invalid_dataset_fails_with_one_sentence(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    INVALID_DATASETS[name](path)
    more = [str(tmp_path / "out.ome.zarr")] if command == "convert" else []
    assert main([command, str(path), *more]) == 1
    streams = capsys.readouterr()
    output = streams.out if command == "validate" and not streams.err else streams.err
    assert name in output
    assert command == "validate" or output.count("\n") == 1
    assert not (streams.out and streams.err)
    assert not (tmp_path / "out.ome.zarr").exists()
