"""Every command and reader on every hostile dataset: limits of time and memory, output safe for a terminal.

Every twentieth one of the quick part of the corpus (special files, JSON, arrays) always runs;
``OME_WRITERS_HOSTILE=all`` adds the others.
The number of runs is printed at the end (``pytest -s``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from system.hostile.corpus import CORPUS, build

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = os.environ.get("OME_WRITERS_HOSTILE") == "all"
QUICK = ("fifo", "zero", "link", "deep", "json", "sparse", "array")
SLOW = "json-millions-of-values root"  # 20 s of CPU time
NAMES = list(CORPUS) if ALL else [n for n in CORPUS if n.startswith(QUICK) and n != SLOW][::20]
WORKERS = 2 if ALL else 1  # each imports readers and validators
WORKER_TIMEOUT_S = 500  # for all runs on one dataset; signals do not interrupt every system call
MAX_CPU_S = 10.5
MAX_MIB = 1024
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
WORKER = Path(__file__).with_name("worker.py")

Results = dict[str, list[dict[str, Any]]]


class _Worker:
    """A process that runs all commands and readers on datasets."""

    def __init__(self) -> None:
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def run(self, path: Path) -> list[dict[str, Any]]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        killer = threading.Timer(WORKER_TIMEOUT_S, process.kill)
        killer.start()
        process.stdin.write(json.dumps(os.fspath(path)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        killer.cancel()
        if line:
            found: list[dict[str, Any]] = json.loads(line)
            return found
        self.close()
        self._process = self._start()
        return [{"run": "worker", "problem": "the process hung or crashed"}]

    def close(self) -> None:
        with self._process as process:  # closes its pipes
            process.kill()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """Return the results of all runs by dataset, from worker processes."""
    root = tmp_path_factory.mktemp("hostile")
    found: Results = {}
    names = iter(NAMES)
    lock = threading.Lock()

    def run_datasets() -> None:
        worker = _Worker()
        while True:
            with lock:
                name = next(names, None)
                if name is None:
                    break
                folder = root / str(len(found))
                found[name] = []
                path = build(name, folder)
            found[name] = worker.run(path)
        worker.close()

    threads = [threading.Thread(target=run_datasets) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield found
    runs = [run for each in found.values() for run in each]
    slowest = max(run.get("seconds", 0) for run in runs)
    largest = max(run.get("peak_mib", 0) for run in runs)
    print(
        f"\n{len(found)} hostile datasets, {len(runs)} runs: the longest took {slowest:.1f} s of CPU time, "
        f"the largest {largest:.0f} MiB"
    )


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="limits of memory and time: the corpus needs FIFOs, the judge /proc",
)
@pytest.mark.timeout(7200 if ALL else 600)
@pytest.mark.parametrize("name", NAMES)
def test_hostile_dataset_gives_short_error_within_limits(results: Results, name: str) -> None:
    """No traceback, no control character, at most ten seconds of CPU time and 1 GiB, for every command and reader."""
    wrong = []
    for run in results[name]:
        output = run.get("out", "") + run.get("err", "")
        if run["problem"]:
            wrong.append((run["run"], run["problem"]))
        elif "Traceback" in output:
            wrong.append((run["run"], output))
        elif CONTROL.search(output):
            wrong.append((run["run"], repr(output)))
        elif run["status"] not in (None, 0, 1, 130):
            wrong.append((run["run"], f"exit status {run['status']}: {output}"))
        elif run["status"] == 1 and not output.strip():
            wrong.append((run["run"], "exit status 1 without a message"))
        elif run["seconds"] > MAX_CPU_S or run["peak_mib"] > MAX_MIB:
            wrong.append((run["run"], f"{run['seconds']:.1f} s, {run['peak_mib']:.0f} MiB"))
    assert not wrong, "\n".join(f"{what}: {how}" for what, how in wrong)
    assert len(results[name]) == 13


def test_corpus_has_at_least_100_datasets() -> None:
    assert len(CORPUS) >= 100
