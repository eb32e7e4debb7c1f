"""A process is told from later ones of its number by when it started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from ome_writers.storage import process_identity
from ome_writers.storage.process_identity import is_running, process_start

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither signals nor `ps`")


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


def test_a_process_is_its_number_and_its_start(sleeper: subprocess.Popen[bytes]) -> None:
    """A running process is found by number and start; with another start it is another one."""
    start = process_start(sleeper.pid)
    assert start
    assert is_running(sleeper.pid)
    assert is_running(sleeper.pid, start)
    assert not is_running(sleeper.pid, f"{start}0")
    assert start != process_start(os.getpid())
    sleeper.communicate(timeout=60)
    assert not is_running(sleeper.pid, start)


def test_a_process_that_has_ended_is_not_running_while_its_parent_has_not_asked(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """Neither a zombie nor a process of which the parent keeps a handle counts as running."""
    start = process_start(sleeper.pid)
    assert sleeper.stdout is not None
    assert sleeper.stdin is not None
    sleeper.stdin.close()
    sleeper.stdout.read()  # until it has ended, or nearly
    for _ in range(1000):
        if not is_running(sleeper.pid, start):
            break
        time.sleep(0.01)
    assert not is_running(sleeper.pid, start)


@pytest.mark.parametrize("pid", [0, -1, -(10**30), 2**31, 2**32, 2**64, 10**30])
def test_impossible_numbers_are_not_running(pid: int) -> None:
    """Numbers that no system gives to a process are not running, and raise nothing."""
    assert not is_running(pid)
    assert not is_running(pid, "1")


@posix
def test_where_there_is_no_proc_ps_tells_the_start(sleeper: subprocess.Popen[bytes]) -> None:
    """The way of macOS gives each process a start that stays the same, and none to what has ended."""
    find: Callable[[int], str | None] = process_identity._find_with_ps
    start = find(sleeper.pid)
    assert start is not None
    assert start.count(":") == 2
    assert find(sleeper.pid) == start
    sleeper.communicate(timeout=60)
    assert find(sleeper.pid) is None
