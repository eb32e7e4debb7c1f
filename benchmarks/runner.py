"""Runs of competitors in turn, each in a new process and a new directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments, memory, throttle
from benchmarks.competitors import supports

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.competitors import Competitor
    from benchmarks.workload import Workload

_MAX_WARM_UP_BYTES = 4 << 30


@dataclass
class Entry:
    """The successful runs of one competitor in a contest, and the reason of the first failure."""

    competitor: Competitor
    runs: list[dict[str, Any]] = field(default_factory=list)
    refused: str | None = None


@dataclass(frozen=True)
class Contest:
    """One workload on one disk with all competitors that support it."""

    workload: Workload
    medium: str
    entries: tuple[Entry, ...]
    skipped: str | None = None


@dataclass(frozen=True)
class Conditions:
    """The conditions of all runs.

    Parameters
    ----------
    rounds
        Runs of each competitor.
    timeout_s
        Timeout of a run, in addition to the time that a slowed disk needs.
    peers_python
        Interpreter of the peers.
    log
        Called with a line per run.
    """

    rounds: int
    timeout_s: float
    peers_python: Path
    log: Callable[[str], None]


def run_contest(
    workload: Workload, folder: Path, competitors: list[Competitor], conditions: Conditions
) -> Contest:
    """Run each competitor once per round."""
    entries = tuple(Entry(c) for c in competitors if supports(c, workload))
    folder.mkdir(parents=True, exist_ok=True)
    medium = environments.medium(folder)
    needed = workload.frames * workload.frame_bytes * (1.5 if workload.pyramid else 1.1)
    if (free := shutil.disk_usage(folder).free) < needed:
        reason = f"needs {needed / 1e9:.1f} GB on {medium}, {free / 1e9:.1f} GB are free"
        return Contest(workload, medium, entries, reason)
    if workload.measure == "memory" and medium == "tmpfs":
        return Contest(workload, medium, entries, "files on tmpfs count as memory")
    extra: dict[str, str] = {}
    if workload.bytes_per_second is not None:
        slowed = throttle.environment(workload.bytes_per_second, environments.CACHE)
        if isinstance(slowed, str):
            return Contest(workload, medium, entries, slowed)
        extra = slowed
    # the camera's buffer can be as large as the files
    warm_up_bytes = (
        2 * needed + 64 * 2**20 if workload.measure == "camera" and medium == "tmpfs" else 0
    )
    if not warm_up_bytes:
        _warm_up(folder, min(needed, _MAX_WARM_UP_BYTES))
    rounds = min(conditions.rounds, workload.max_rounds or conditions.rounds)
    for number in range(1, rounds + 1):
        for entry in entries:
            if entry.refused is not None:
                continue
            _warm_up(folder, min(warm_up_bytes, shutil.disk_usage(folder).free / 2))
            result = _run(workload, folder, entry.competitor, conditions, extra)
            if "refused" in result:
                entry.refused = result["refused"]
                conditions.log(f"{entry.competitor.name}: {entry.refused}")
                continue
            entry.runs.append(result)
            conditions.log(
                f"{workload.id} {medium} {number}/{rounds} {entry.competitor.name}: "
                f"{result['us_per_frame']:,.1f} us per frame, {result['check']}"
            )
    return Contest(workload, medium, entries)


def _warm_up(folder: Path, size: float) -> None:
    """Write and delete as many bytes as a run does.

    In a virtual machine the first use of memory or of a sparse disk image is several times slower than the second,
    which would count against the first competitor. A host may also reclaim memory that is unused for some seconds, so
    that runs with as much memory as W12 are each preceded by a warm-up.
    """
    block = bytes(1 << 22)
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(int(size) // len(block)):
            file.write(block)


def _run(
    workload: Workload,
    folder: Path,
    competitor: Competitor,
    conditions: Conditions,
    extra: dict[str, str],
) -> dict[str, Any]:
    python = str(conditions.peers_python) if competitor.side == "peer" else sys.executable
    scratch = Path(tempfile.mkdtemp(prefix="ome-writers-bench-", dir=folder))
    command = [python, "-m", "benchmarks.worker", "--workload", workload.id]
    command += ["--competitor", competitor.name, "--folder", str(scratch)]
    command += ["--count", str(workload.axes[0].count)]
    timeout_s = conditions.timeout_s
    if workload.bytes_per_second is not None:
        timeout_s += 1.5 * workload.frames * workload.frame_bytes / workload.bytes_per_second
    try:
        return _run_worker(command, extra, timeout_s, workload.memory_limit)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if hasattr(os, "sync"):
            os.sync()  # the next run must not wait for the dirty pages of this one


def _run_worker(
    command: list[str], extra: dict[str, str], timeout_s: float, memory_limit: int | None
) -> dict[str, Any]:
    """Run one worker; kill it at its timeout or memory limit."""
    variables = {**environments.variables(), **extra}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=environments.ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        lines: list[str] = []
        reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
        reader.start()
        reason = _wait(process, timeout_s, memory_limit, lines)
        reader.join(10)
        errors.seek(0)
        stderr = errors.read().strip()
    if reason is not None:
        return {"refused": reason}
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            result = json.loads(line)
            if isinstance(result, dict) and "ready" not in result:
                return result
    last = stderr.splitlines()[-1] if stderr else "no message"
    return {"refused": f"failed with exit code {process.returncode}: {last[:200]}"}


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.append(line)  # noqa: PERF402  -- _wait reads the list concurrently


def _wait(
    process: subprocess.Popen[str], timeout_s: float, memory_limit: int | None, lines: list[str]
) -> str | None:
    deadline = time.monotonic() + timeout_s
    idle = None
    while True:
        try:
            process.wait(0.1 if memory_limit is not None else min(1.0, timeout_s))
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            return f"stopped: timeout of {timeout_s:.0f} s"
        if memory_limit is None or not lines:
            continue
        resident = memory.resident(process.pid)
        if resident is None:
            continue
        idle = resident if idle is None else idle
        if resident - idle > memory_limit:
            process.kill()
            process.wait()
            return f"stopped: memory limit of {memory_limit / memory.MIB:,.0f} MiB"
