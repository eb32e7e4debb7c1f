"""Many processes at one path: one of them writes, whatever state the path is in, and nothing of others is lost."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults.claim_worker import FORMS, fill, settings
from ome_writers import create_stream, validate
from ome_writers import open as open_dataset

pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
pytestmark = [pytest.mark.timeout(300), pytest.mark.short]

WORKERS = 6
ROUNDS = 9  # of each form
OLD = 1


class Worker:
    """A process that begins streams when it is told to."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("claim_worker.py")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True
        )

    def tell(self, what: Any) -> None:
        """Send a line, unless it is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def hear(self) -> str:
        """Return what it says; empty when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return str(json.loads(line)) if line else ""

    def end(self) -> None:
        """Let it end."""
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    """Return processes that wait."""
    started = [Worker() for _ in range(WORKERS)]
    assert [worker.hear() for worker in started] == ["ready"] * WORKERS
    yield started
    for worker in started:
        worker.end()


def prepare(folder: Path, form: str, state: str) -> None:
    """Make what is at the path before the race."""
    folder.mkdir()
    if state == "free":
        return
    fill(create_stream(settings(folder, form, overwrite=False)), OLD)
    if (
        state == "stale"
    ):  # locks and claims of processes that have ended, of this and of earlier versions
        output = Path(settings(folder, form, overwrite=True).output_path)
        stale = json.dumps({"pid": 2**22 + 12345, "host": socket.gethostname()})
        (folder / f".{output.name}.claim").write_text(stale)
        lock = output / ".ome-writers.lock" if output.is_dir() else folder / f".{output.name}.lock"
        lock.write_text(stale)


def race(workers: list[Worker], orders: list[list[Any]]) -> list[str]:
    """Have all begin at once; return what each of them says, and let those that have begun finish."""
    for worker, order in zip(workers, orders, strict=True):
        worker.tell(order)
    assert [worker.hear() for worker in workers] == ["set"] * len(workers)
    for worker in workers:
        worker.tell("go")
    told = [worker.hear() for worker in workers]
    for worker in workers:
        worker.tell("finish")
    for worker, said in zip(workers, told, strict=True):
        assert worker.hear() == ("done" if said else "")
    return told


def judge(folder: Path, form: str, value: int) -> None:
    """Check that there is one whole dataset of one value, and nothing else."""
    output = Path(settings(folder, form, overwrite=True).output_path)
    entry = {"run.ome.tiff"} if form == "set" else set()  # which opens the set
    assert {p.name for p in folder.iterdir()} == {output.name, *entry}
    if form == "scratch":
        assert set(np.fromfile(output / "pos_0.dat", "uint16").tolist()) == {value}
        return
    assert (np.asarray(open_dataset(output)) == value).all(), output
    assert validate(output).valid


@pytest.mark.parametrize("form", FORMS)
def test_of_processes_that_race_one_writes(
    tmp_path: Path, workers: list[Worker], form: str
) -> None:
    """In each round one stream begins, is alone until it is closed, and leaves its own pixels only."""
    draw = random.Random(form)
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        state = ("free", "old", "stale")[number % 3]
        prepare(folder, form, state)
        overwrite = [True, *(draw.random() < 0.6 for _ in workers[1:])]
        orders = [[str(folder), form, over, 100 + i, 0] for i, over in enumerate(overwrite)]
        told = race(workers, orders)
        winners = [i for i, said in enumerate(told) if said == "began"]
        assert len(winners) == 1, (state, overwrite, told)
        refused = [said for said in told if said != "began"]
        assert all(s.startswith(("OutputLockedError", "OutputExistsError")) for s in refused), told
        judge(folder, form, 100 + winners[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_race_in_which_one_is_killed(tmp_path: Path, workers: list[Worker], form: str) -> None:
    """A process that dies at any call of its start takes nothing from the others, and the next start cleans up."""
    draw = random.Random(form)
    others = workers[:3]
    for number in range(4):
        victim = Worker()
        assert victim.hear() == "ready"
        folder = tmp_path / str(number)
        prepare(folder, form, ("free", "old")[number % 2])
        orders = [[str(folder), form, True, 100 + i, 0] for i in range(3)]
        told = race(
            [*others, victim], [*orders, [str(folder), form, True, 99, draw.randint(1, 40)]]
        )
        victim.end()
        winners = [i for i, said in enumerate(told) if said == "began"]
        assert len(winners) <= 1
        refused = [said for said in told if said not in ("began", "")]
        assert all(s.startswith(("OutputLockedError", "OutputExistsError")) for s in refused), told
        fill(create_stream(settings(folder, form, overwrite=True)), 7)
        judge(folder, form, 7)
