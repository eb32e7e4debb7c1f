"""A process is killed at each step of closing an OME-TIFF, and another one reads while many are closed.

Runs with `FAULT_ROUNDS`; ``tests/live`` checks the states after a kill without processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tifffile", reason="it reads the result")
pytest.importorskip("ome_types", reason="the engine needs it")

import tifffile

from ome_writers import read_frame_metadata, validate
from ome_writers.repair import repair
from support.closings import RUNS, output, read, tiffs

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
TESTS = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=50"),
    pytest.mark.skipif(
        sys.platform == "win32", reason="kills during close: Windows does not have SIGKILL"
    ),
    pytest.mark.filterwarnings(
        "ignore:.*reading array from closed file:UserWarning"
    ),  # warning of tifffile about sets
    pytest.mark.timeout(1200),
]
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from pathlib import Path
from support.closings import RUNS
from support.steps import each_step

steps = 0


def look():
    global steps
    steps += 1
    if steps == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)


stream = RUNS[sys.argv[1]].started(Path(sys.argv[2]))
with each_step(look):
    stream.close()
"""
READING = """
import os, sys, warnings
sys.path.insert(0, sys.argv[2])
warnings.simplefilter("ignore")
from pathlib import Path
import tifffile
from support.closings import RUNS, read, tiffs

report, reads = Path(sys.argv[1]), 0
while (command := report.read_text()) != "stop":
    name, _, path = command.partition("|")
    for file in tiffs(Path(path)) if path else ():
        with tifffile.TiffFile(file) as tiff:
            images = read(tiff)
        if images is not None:
            RUNS[name].check(images)
            reads += 1
print(reads)
"""


@pytest.mark.parametrize("name", RUNS)
def test_kill_at_each_call_of_close(name: str, tmp_path: Path) -> None:
    """Whichever call of `close` is the last, all frames are at their indices, before and after `repair`."""
    run, step, ended = RUNS[name], 0, 1
    while ended:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        command = [sys.executable, "-c", KILLED, name, str(folder), str(step), str(TESTS)]
        ended = subprocess.run(command, timeout=300).returncode
        assert ended in (0, -9)
        path = output(folder)
        for repaired in (False, True):
            if repaired:
                repair(path)
                assert not repair(path).findings
                assert validate(path).valid
            for file in tiffs(path):
                with tifffile.TiffFile(file) as tiff:
                    images = read(tiff)
                if images is not None:
                    run.check(images)
            assert {f["serial"] for f in read_frame_metadata(path)} == set(range(run.frames))
    assert step > 4


def test_continuous_reader_during_close(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process that reads continuously finds every frame at its index in the files that are being closed."""
    report = tmp_path / "report"
    report.write_text("")
    command = [sys.executable, "-c", READING, str(report), str(TESTS)]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for number in range(ROUNDS):
        for name, run in RUNS.items():
            folder = tmp_path / f"{number} {name}"
            folder.mkdir()
            stream = run.started(folder)
            (tmp_path / "next").write_text(f"{name}|{output(folder)}")
            (tmp_path / "next").replace(report)
            stream.close()
    (tmp_path / "next").write_text("stop")
    (tmp_path / "next").replace(report)
    reads, errors = reader.communicate(timeout=300)
    assert not reader.returncode, errors
    with capsys.disabled():
        print(f"\nOME-TIFF: {ROUNDS * len(RUNS)} closed, read {reads.strip()} times meanwhile")
