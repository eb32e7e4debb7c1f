"""Many processes create a stream on one path: exactly one of them writes, and no data is lost."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults.claim_worker import KINDS, fill, settings
from ome_writers import create_stream, read, validate
from ome_writers import open as open_dataset

pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
pytestmark = [pytest.mark.timeout(300), pytest.mark.short]

WORKERS = 6
ROUNDS = 9  # per kind
OLD = 1


class Worker:
    """A process that creates streams on command."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("claim_worker.py")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True
        )

    def send(self, what: Any) -> None:
        """Send a command, unless the process has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def receive(self) -> str:
        """Return the answer; empty if the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return str(json.loads(line)) if line else ""

    def stop(self) -> None:
        """Wait for the process to stop."""
        self.process.communicate(timeout=300)


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    """Return waiting processes."""
    started = [Worker() for _ in range(WORKERS)]
    assert [worker.receive() for worker in started] == ["ready"] * WORKERS
    yield started
    for worker in started:
        worker.stop()


def prepare(folder: Path, kind: str, state: str) -> None:
    """Create the state of the path before the race."""
    folder.mkdir()
    if state == "free":
        return
    fill(create_stream(settings(folder, kind, overwrite=False)), OLD)
    if state == "stale":  # locks and claims of ended processes, of this and earlier versions
        output = Path(settings(folder, kind, overwrite=True).output_path)
        stale = json.dumps({"pid": 2**22 + 12345, "host": socket.gethostname()})
        (folder / f".{output.name}.claim").write_text(stale)
        lock = output / ".ome-writers.lock" if output.is_dir() else folder / f".{output.name}.lock"
        lock.write_text(stale)


def race(workers: list[Worker], orders: list[list[Any]]) -> list[str]:
    """Start all workers at once; return their answers after those that have a stream have completed it."""
    for worker, order in zip(workers, orders, strict=True):
        worker.send(order)
    assert [worker.receive() for worker in workers] == ["set"] * len(workers)
    for worker in workers:
        worker.send("go")
    answers = [worker.receive() for worker in workers]
    for worker in workers:
        worker.send("finish")
    for worker, answer in zip(workers, answers, strict=True):
        assert worker.receive() == ("done" if answer else "")
    return answers


def check(folder: Path, kind: str, value: int) -> None:
    """Check that there is exactly one complete dataset of one value."""
    output = Path(settings(folder, kind, overwrite=True).output_path)
    entry = {"run.ome.tiff"} if kind == "set" else set()  # the entry file of the set
    assert {p.name for p in folder.iterdir()} == {output.name, *entry}
    if kind == "scratch":
        assert set(np.fromfile(output / "pos_0.dat", "uint16").tolist()) == {value}
        return
    assert (np.asarray(open_dataset(output)) == value).all(), output
    assert validate(output).valid


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_wins_the_race(tmp_path: Path, workers: list[Worker], kind: str) -> None:
    """In each round one stream is created and refuses the others until it is closed; only its pixels are stored."""
    draw = random.Random(kind)
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        state = ("free", "old", "stale")[number % 3]
        prepare(folder, kind, state)
        overwrite = [True, *(draw.random() < 0.6 for _ in workers[1:])]
        orders = [[str(folder), kind, over, 100 + i, 0] for i, over in enumerate(overwrite)]
        answers = race(workers, orders)
        winners = [i for i, answer in enumerate(answers) if answer == "began"]
        assert len(winners) == 1, (state, overwrite, answers)
        refused = [answer for answer in answers if answer != "began"]
        assert all(s.startswith(("OutputLockedError", "OutputExistsError")) for s in refused), (
            answers
        )
        check(folder, kind, 100 + winners[0])


@pytest.mark.parametrize("kind", KINDS)
def test_killed_process_does_not_affect_the_race(
    tmp_path: Path, workers: list[Worker], kind: str
) -> None:
    """A process killed at any call of its start does not affect the others, and the next start cleans up."""
    draw = random.Random(kind)
    others = workers[:3]
    for number in range(4):
        victim = Worker()
        assert victim.receive() == "ready"
        folder = tmp_path / str(number)
        prepare(folder, kind, ("free", "old")[number % 2])
        orders = [[str(folder), kind, True, 100 + i, 0] for i in range(3)]
        answers = race(
            [*others, victim], [*orders, [str(folder), kind, True, 99, draw.randint(1, 40)]]
        )
        victim.stop()
        winners = [i for i, answer in enumerate(answers) if answer == "began"]
        assert len(winners) <= 1
        refused = [answer for answer in answers if answer not in ("began", "")]
        assert all(s.startswith(("OutputLockedError", "OutputExistsError")) for s in refused), (
            answers
        )
        fill(create_stream(settings(folder, kind, overwrite=True)), 7)
        # Only what the victim has created, without a frame, is kept.
        interrupted = list(folder.glob("run.interrupted-*"))
        assert len(interrupted) <= 1
        for path in interrupted:
            assert answers[3] == ""
            assert not read(path).frames_written
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        check(folder, kind, 7)
