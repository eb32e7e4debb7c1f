"""The program in a process: streams, encodings, signals and imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream
from ome_writers_tools.cli import main
from ome_writers_tools.cli.program import COMMANDS
from support.acquisitions import acquisition
from support.preloaded import run_python
from support.sweeps import swept

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(
    os.name == "nt",
    reason="commands with closed stdout and stderr: Windows does not have preexec_fn",
)
@pytest.mark.parametrize(
    "closed", swept([(1,), (2,), (1, 2)], lambda closed: len(closed) == 2, str)
)
def test_closed_stdout_and_stderr(tmp_path: Path, closed: tuple[int, ...]) -> None:
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
            timeout=300,
        )
        assert done.returncode == status
        assert b"Traceback" not in done.stderr + done.stdout


def test_console_without_unicode(tmp_path: Path) -> None:
    """Characters that the encoding lacks are escaped; JSON is unchanged."""
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

    code = """
import sys
from ome_writers_tools.cli import script
for encoding in ("cp437", "ascii"):
    if sys.stdout.encoding != encoding:
        sys.stdout.reconfigure(encoding=encoding, errors="strict")
    for options in ([], ["--json"]):
        sys.argv = ["ome-writers", "info", "a.ome.zarr", *options]
        try:
            script()
        except SystemExit as end:
            assert end.code == 0
        print("=====")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"},
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    outputs = done.stdout.split(b"=====")[:4]
    for encoding, micrometer, (table, document) in (
        ("cp437", "µm", outputs[:2]),
        ("ascii", "\\xb5m", outputs[2:]),
    ):
        shown = table.decode(encoding)
        assert "\\u540d" in shown
        assert micrometer in shown
        assert json.loads(document.decode(encoding))["images"][0]["channels"] == ["Ωμ → 名"]


@pytest.mark.parametrize("module", ["ome_writers", "ome_writers_tools.cli"])
def test_python_m_runs_the_program(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, "--version"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, f"ome-writers {ome_writers.__version__}\n")


def test_ctrl_c_during_imports_has_no_traceback() -> None:
    code = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "ome_writers.settings":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from ome_writers_tools.cli import script
script()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (130, "")


def test_command_imports_only_its_module() -> None:
    """Neither ``--version`` nor a misspelt command loads numpy and pydantic; ``--help`` loads no optional library."""
    code = """
import sys
from ome_writers_tools.cli import main
commands = "ome_writers_tools.cli.commands."
for line in ("--version", "inof x", "repair --help", "--help"):
    before = {*sys.modules}
    main(line.split())
    print("=====", *sorted(name.removeprefix(commands) for name in {*sys.modules} - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("=====")]
    version, misspelt, repair, every = map(set, lines)
    core, optional = {"numpy", "pydantic"}, {"rich", "PIL", "pymmcore_plus", "useq", "zarr"}
    assert not (version | misspelt) & {*COMMANDS, *core}
    assert repair & {*COMMANDS} == {"repair"}
    assert every >= {*COMMANDS} - {"repair"}
    assert every | repair >= core
    assert not (version | misspelt | repair | every) & {*optional, "tifffile", "tensorstore"}


def test_closed_pipe_prints_no_error(tmp_path: Path) -> None:
    """As in ``| head -1``."""
    path, frame = tmp_path / "a.ome.zarr", [Dimension(name=name, count=4) for name in "yx"]
    with create_stream(root_path=path, dimensions=frame, dtype="uint8") as stream:
        stream.append(np.zeros((4, 4), "uint8"))
    program = [sys.executable, "-m", "ome_writers", "info", str(path)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_force_color_and_no_color_in_a_pipe(
    tmp_path: Path, variables: dict[str, str], coloured: bool
) -> None:
    """FORCE_COLOR enables colours without cursor movements; NO_COLOR has precedence; JSON has no colours."""
    with create_stream(acquisition("single", tmp_path / "a.ome.zarr")):
        pass

    def run(*arguments: str) -> tuple[str, str]:
        done = run_python(["-m", "ome_writers", *arguments], cwd=tmp_path, env=variables)
        return done.stdout, done.stderr

    out, error = run("info", "a.ome.zarr", "missing")
    assert ("\x1b[1m" in out) is coloured
    assert ("\x1b[1;31m" in error) is coloured
    assert "\x1b[?" not in out + error
    assert json.loads(run("info", "a.ome.zarr", "--json")[0])["layout"] == "image"


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_watch_ends_after_writer_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """``watch`` and ``info`` recommend ``repair``."""
    path = tmp_path / f"killed{suffix}"
    code = """
import os, signal, sys, numpy
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
dimensions = dims_from_standard_axes({"t": 5, "y": 8, "x": 8})
stream = create_stream(AcquisitionSettings(root_path=sys.argv[1], dimensions=dimensions, dtype="uint8"))
stream.append(numpy.ones((8, 8), "uint8"))
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""
    run_python(["-c", code, str(path)])
    assert main(["watch", str(path)]) == 1
    error = "".join(capsys.readouterr().err.split())  # without line breaks
    assert f"ome-writersrepair{path}" in error
    assert main(["info", str(path)]) == 0
    assert f'ome-writersrepair"{path}"' in "".join(capsys.readouterr().out.split())


def test_help_of_process_lists_compressions_of_ome_zarr_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`process` writes OME-Zarr only, `convert` both formats."""
    listed = {}
    for command in ("process", "convert"):
        assert main([command, "--help"]) == 0
        listed[command] = "lzw" in capsys.readouterr().out
    assert listed == {"process": False, "convert": True}
