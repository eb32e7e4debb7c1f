"""Running competitors in turn, each in a process and a folder of its own."""

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
from benchmarks.competitors import entered

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.competitors import Competitor
    from benchmarks.workload import Workload

_WARMED = 4 << 30


@dataclass
class Entry:
    """All runs of one competitor in one workload and place; runs that failed are not in it."""

    competitor: Competitor
    runs: list[dict[str, Any]] = field(default_factory=list)
    refused: str | None = None


@dataclass(frozen=True)
class Contest:
    """One workload in one place with everyone who entered."""

    workload: Workload
    medium: str
    entries: tuple[Entry, ...]
    skipped: str | None = None


@dataclass(frozen=True)
class Conditions:
    """How competitors are run.

    Parameters
    ----------
    rounds
        Turns each competitor gets.
    patience
        Seconds after which a run is stopped, on top of what a slowed disk must take.
    peers_python
        Interpreter of the peers.
    """

    rounds: int
    patience: float
    peers_python: Path
    say: Callable[[str], None]


def contest(
    workload: Workload, place: Path, competitors: list[Competitor], conditions: Conditions
) -> Contest:
    """Let everyone who entered run, one after the other, `rounds` times."""
    entries = tuple(Entry(c) for c in competitors if entered(c, workload))
    place.mkdir(parents=True, exist_ok=True)
    medium = environments.medium(place)
    needed = workload.frames * workload.frame_bytes * 1.1
    if (room := shutil.disk_usage(place).free) < needed:
        reason = f"needs {needed / 1e9:.1f} GB on {medium}, {room / 1e9:.1f} GB are free"
        return Contest(workload, medium, entries, reason)
    if workload.measure == "memory" and medium == "tmpfs":
        return Contest(workload, medium, entries, "the files themselves would be memory")
    extra: dict[str, str] = {}
    if workload.bytes_per_second is not None:
        slowed = throttle.environment(workload.bytes_per_second, environments.CACHE)
        if isinstance(slowed, str):
            return Contest(workload, medium, entries, slowed)
        extra = slowed
    # the camera's buffer can hold as much as the files do
    rewarmed = 2 * needed + 64 * 2**20 if workload.measure == "camera" and medium == "tmpfs" else 0
    if not rewarmed:
        _warm(place, min(needed, _WARMED))
    rounds = min(conditions.rounds, workload.most_rounds or conditions.rounds)
    for turn in range(rounds):
        for entry in entries:
            if entry.refused is not None:
                continue
            _warm(place, min(rewarmed, shutil.disk_usage(place).free / 2))
            result = _run(workload, place, entry.competitor, conditions, extra)
            if "refused" in result:
                entry.refused = result["refused"]
                conditions.say(f"{entry.competitor.name}: {entry.refused}")
                continue
            entry.runs.append(result)
            conditions.say(
                f"{workload.id} {medium} {turn + 1}/{rounds} {entry.competitor.name}: "
                f"{result['us_per_frame']:,.1f} us a frame, {result['check']}"
            )
    return Contest(workload, medium, entries)


def _warm(place: Path, needed: float) -> None:
    """Write and delete as many bytes as a run does.

    The first use of memory or of a sparse disk image costs a virtual machine several times as much
    as the second, and whoever runs first would pay for it. A host may also take back memory that is free for some
    seconds; so where a run needs as much of it as W12 does, it is written before each.
    """
    block = bytes(1 << 22)
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(int(needed) // len(block)):
            file.write(block)


def _run(
    workload: Workload,
    place: Path,
    competitor: Competitor,
    conditions: Conditions,
    extra: dict[str, str],
) -> dict[str, Any]:
    python = str(conditions.peers_python) if competitor.side == "peer" else sys.executable
    folder = Path(tempfile.mkdtemp(prefix="ome-writers-bench-", dir=place))
    command = [python, "-m", "benchmarks.worker", "--workload", workload.id]
    command += ["--competitor", competitor.name, "--folder", str(folder)]
    command += ["--count", str(workload.axes[0].count)]
    allowed = conditions.patience
    if workload.bytes_per_second is not None:
        allowed += 1.5 * workload.frames * workload.frame_bytes / workload.bytes_per_second
    try:
        return _watched(command, extra, allowed, workload.memory_limit)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if hasattr(os, "sync"):
            os.sync()  # the next competitor does not pay for this one's dirty pages


def _watched(
    command: list[str], extra: dict[str, str], allowed: float, memory_limit: int | None
) -> dict[str, Any]:
    """Run one worker; stop it when it takes too long or grows too large."""
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
        stopped = _wait(process, allowed, memory_limit, lines)
        reader.join(10)
        errors.seek(0)
        complaint = errors.read().strip()
    if stopped is not None:
        return {"refused": stopped}
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            result = json.loads(line)
            if isinstance(result, dict) and "ready" not in result:
                return result
    last = complaint.splitlines()[-1] if complaint else "no word"
    return {"refused": f"failed with exit code {process.returncode}: {last[:200]}"}


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.append(line)  # noqa: PERF402  -- each line is looked for as soon as it is there


def _wait(
    process: subprocess.Popen[str], allowed: float, memory_limit: int | None, lines: list[str]
) -> str | None:
    until = time.monotonic() + allowed
    idle = None
    while True:
        try:
            process.wait(0.1 if memory_limit is not None else min(1.0, allowed))
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        if time.monotonic() > until:
            process.kill()
            process.wait()
            return f"stopped: took longer than {allowed:.0f} s"
        if memory_limit is None or not lines:
            continue
        now = memory.resident(process.pid)
        if now is None:
            continue
        idle = now if idle is None else idle
        if now - idle > memory_limit:
            process.kill()
            process.wait()
            return f"stopped: grew past {memory_limit / memory.MIB:,.0f} MiB"
