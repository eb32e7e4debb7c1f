"""The program: help, exit statuses, and errors in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream
from ome_writers.cli import main
from ome_writers.cli.program import COMMANDS
from support.acquisitions import acquisition

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_a_command_has_examples(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """``COMMAND --help`` succeeds, says what it does and shows every example."""
    assert main([command.name, "--help"]) == 0
    output = capsys.readouterr().out
    assert command.summary in " ".join(output.split())
    for line, what in command.examples:
        assert line in output
        assert what in output


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` names every command with its summary."""
    assert main(["--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for command in COMMANDS:
        assert f"{command.name} {command.summary}" in output


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the distribution's version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ome-writers {ome_writers.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["info"], ["demo", "--timepoints", "0"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is missing, unknown or called wrongly ends with status 2 and the usage."""
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert "usage: ome-writers" in streams.err
    assert not streams.out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("inof", "did you mean `info`?"),
        ("Validate", "did you mean `validate`?"),
        ("previw", "did you mean `preview`?"),
        ("zzz", "choose from demo, info, preview"),
    ],
)
def test_mistyped_command_names_the_one_that_is_meant(
    typed: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown command ends with status 2 and the command most like it, or all of them."""
    assert main([typed, "run.ome.zarr"]) == 2
    streams = capsys.readouterr()
    assert f"unknown command {typed!r}" in streams.err
    assert hint in streams.err
    assert not streams.out


def test_path_in_place_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that exists, typed without a command, gets the command that describes it."""
    assert main([str(tmp_path)]) == 2
    assert f"ome-writers info {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["info", "--jsn", "x"], "unknown arguments: --jsn; did you mean --json?"),
        (["repair", "x", "--dryrun"], "did you mean --dry-run?"),
        (["demo", "--timepoint=3x", "--zzz"], "'3x' is not a positive whole number"),
        (["watch", "a", "b"], "unknown arguments: b"),
    ],
)
def test_mistyped_option_names_the_one_that_is_meant(
    typed: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown option ends with status 2, the command's own usage and the option most like it."""
    assert main(typed) == 2
    error = capsys.readouterr().err
    assert f"usage: ome-writers {typed[0]}" in error
    assert hint in error


@pytest.mark.parametrize("command", ["info", "preview", "validate", "repair", "watch", "convert"])
def test_empty_path_is_not_the_current_folder(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty argument, as of a shell variable that is not set, is a usage error and nothing is touched."""
    monkeypatch.chdir(tmp_path)
    destination = ["x.ome.tiff"] if command == "convert" else []
    assert main([command, "", *destination]) == 2
    assert "the path is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="preexec_fn is POSIX's")
@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_closed_streams(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """A program that closes stdout or stderr of its children gets the exit status, and no traceback."""
    with create_stream(acquisition("single", tmp_path / "a.ome.zarr")):
        pass

    def close() -> None:
        for number in closed:
            os.close(number)

    for name, status in (("a.ome.zarr", 0), ("missing", 1)):
        done = subprocess.run(
            [sys.executable, "-m", "ome_writers", "info", name],
            capture_output=True,
            cwd=tmp_path,
            preexec_fn=close,
            timeout=60,
        )
        assert done.returncode == status
        assert b"Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_console_without_unicode(tmp_path: Path, encoding: str) -> None:
    """A console whose encoding lacks a character shows its code; JSON stays what it is."""
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=[
            Dimension(name="c", coords=["Ωμ → 名"], type="channel"),
            Dimension(name="y", count=4, scale=0.5, unit="um"),
            Dimension(name="x", count=6, scale=0.5, unit="um"),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        stream.append(np.zeros((4, 6), "uint8"))

    def run(*arguments: str) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "ome_writers", *arguments],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    shown = run("info", "a.ome.zarr").decode(encoding)
    assert "\\u540d" in shown
    assert ("µm" if encoding != "ascii" else "\\xb5m") in shown
    document = json.loads(run("info", "a.ome.zarr", "--json").decode(encoding))
    assert document["images"][0]["channels"] == ["Ωμ → 名"]
    run("validate", "a.ome.zarr")


def test_failure_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done ends with status 1 and one line without a traceback."""
    assert main(["info", str(tmp_path / "nothing.ome.zarr")]) == 1
    streams = capsys.readouterr()
    assert streams.err == f"ome-writers: {tmp_path / 'nothing.ome.zarr'} does not exist.\n"
    assert not streams.out


@pytest.mark.parametrize("module", ["ome_writers", "ome_writers.cli"])
def test_the_module_runs_as_the_program(module: str) -> None:
    """``python -m ome_writers`` is the command ``ome-writers``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, f"ome-writers {ome_writers.__version__}\n")


def test_ctrl_c_while_modules_are_loaded_is_silent() -> None:
    """Who presses Ctrl-C before the command has begun sees status 130, and no traceback."""
    code = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "ome_writers.settings":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from ome_writers.cli import script
script()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("command", "says"),
    [("validate", "nothing was changed"), ("demo", "what was written so far is kept")],
)
def test_ctrl_c_says_what_is_left(
    command: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command that only looks, and one that writes, say different things when they are interrupted."""
    row = next(row for row in COMMANDS if row.name == command)

    def interrupted(options: object, screen: object) -> int:
        raise KeyboardInterrupt

    rows = tuple(replace(c, run=interrupted) if c is row else c for c in COMMANDS)
    monkeypatch.setattr("ome_writers.cli.program.COMMANDS", rows)
    assert main([command, str(tmp_path)]) == 130
    assert says in capsys.readouterr().err


def test_help_loads_no_optional_library() -> None:
    """``--help`` works in a plain installation: no library of an extra is imported."""
    code = (
        "import sys; from ome_writers.cli import main; main(['--help']);"
        "print(sorted({'rich', 'PIL', 'pymmcore_plus', 'useq', 'zarr', 'tifffile',"
        " 'tensorstore'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
def test_a_reader_that_stops_early_is_no_error_to_talk_about(tmp_path: Path) -> None:
    """When the reader of a pipe goes away (``| head -1``), nothing is said on stderr."""
    (tmp_path / "zarr.json").write_text(
        '{"attributes": {"ome": {"version": "0.5", "plate": {"wells": []}}}}'
    )
    program = [sys.executable, "-m", "ome_writers", "info", str(tmp_path)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


MISTAKES = {
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


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("command", ["info", "preview", "watch", "validate", "repair", "convert"])
def test_what_is_no_dataset_is_a_failure_in_a_sentence(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is named instead of a dataset, a command ends with status 1, says why, and names it."""
    path = tmp_path / name
    MISTAKES[name](path)
    more = [str(tmp_path / "out.ome.zarr")] if command == "convert" else []
    assert main([command, str(path), *more]) == 1
    streams = capsys.readouterr()
    said = streams.out if command == "validate" and not streams.err else streams.err
    assert name in said
    assert command == "validate" or said.count("\n") == 1
    assert not (streams.out and streams.err)
    assert not (tmp_path / "out.ome.zarr").exists()
