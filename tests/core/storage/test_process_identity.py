"""Processes are identified by ID and start time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from ome_writers.storage import process_identity
from ome_writers.storage.process_identity import is_running, process_start
from support.waiting import wait_until

posix = pytest.mark.skipif(
    os.name == "nt", reason="process start from `ps`: Windows does not have it"
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that waits until its stdin is closed."""
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    started.stdout.readline()
    with started:
        yield started


def test_is_running_compares_the_start_time(sleeper: subprocess.Popen[bytes]) -> None:
    start = process_start(sleeper.pid)
    assert start
    assert is_running(sleeper.pid)
    assert is_running(sleeper.pid, start)
    assert not is_running(sleeper.pid, f"{start}0")
    assert start != process_start(os.getpid())
    sleeper.communicate(timeout=300)
    assert not is_running(sleeper.pid, start)


def test_zombie_is_not_running(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """On Windows: an ended process of which the parent has a handle."""
    start = process_start(sleeper.pid)
    assert sleeper.stdout is not None
    assert sleeper.stdin is not None
    sleeper.stdin.close()
    sleeper.stdout.read()  # until it has ended, or nearly
    wait_until(lambda: not is_running(sleeper.pid, start))


@pytest.mark.parametrize("pid", [0, -1, -(10**30), 2**31, 2**32, 2**64, 10**30])
def test_invalid_process_ids_are_not_running(pid: int) -> None:
    assert not is_running(pid)
    assert not is_running(pid, "1")


@posix
def test_start_time_from_ps(sleeper: subprocess.Popen[bytes]) -> None:
    """For systems without ``/proc``, such as macOS."""
    find: Callable[[int], str | None] = process_identity._find_with_ps
    start = find(sleeper.pid)
    assert start is not None
    assert start.count(":") == 2
    assert find(sleeper.pid) == start
    sleeper.communicate(timeout=300)
    assert find(sleeper.pid) is None
