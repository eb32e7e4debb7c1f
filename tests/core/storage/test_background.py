"""Worker threads: order, failures, barriers."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from ome_writers.storage import share
from ome_writers.storage.background import Background
from ome_writers.storage.shared_work import map_shared
from support.waiting import WAIT_S


def test_tasks_with_one_serial_key_run_in_order() -> None:
    background = Background(4)
    running: set[int] = set()
    order: list[int] = []

    def task(number: int) -> None:
        assert not running
        running.add(number)
        time.sleep(0.001)
        order.append(number)
        running.discard(number)

    for i in range(30):
        background.submit(lambda i=i: task(i), serial_key="file")
    background.close()
    assert order == list(range(30))
    assert not background.failures


def test_failure_records_frames_and_other_tasks_run() -> None:
    background = Background(2)
    done: list[int] = []
    background.submit(lambda: 1 / 0, frames=[4, 5])
    background.submit(lambda: done.append(1))
    background.barrier()
    (failure,) = background.failures
    assert isinstance(failure.error, ZeroDivisionError)
    assert failure.frames == (4, 5)
    assert done == [1]
    background.close()


def test_barrier_ignores_later_tasks() -> None:
    background = Background(2)
    gate = threading.Event()
    done: list[str] = []
    background.submit(lambda: done.append("before"))
    timer = threading.Timer(0.05, lambda: background.submit(gate.wait))
    timer.start()
    background.barrier()
    assert done == ["before"]
    timer.join()
    gate.set()
    background.close()


def test_submit_after_close_raises() -> None:
    background = Background(1)
    background.close()
    background.close()
    with pytest.raises(RuntimeError, match="have ended"):
        background.submit(lambda: None)


def test_priority_of_upload_threads() -> None:
    priorities: list[int] = []
    background = Background(2, low_priority=True)
    for _ in range(2):
        background.submit(lambda: priorities.append(_priority()))
    background.close()
    assert not background.failures
    if sys.platform == "darwin":  # keeps the priority
        assert priorities == [_priority()] * 2
    elif sys.platform == "win32":
        assert priorities == [-2, -2]
    else:
        assert priorities == [max(10, _priority())] * 2


def _priority() -> int:
    """Return the priority of the current thread, as the platform states it."""
    if sys.platform != "win32":
        return os.getpriority(os.PRIO_PROCESS, 0)
    import ctypes

    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentThread.restype = ctypes.c_void_p
    kernel.GetThreadPriority.argtypes = (ctypes.c_void_p,)
    return int(kernel.GetThreadPriority(kernel.GetCurrentThread()))


def test_share_does_not_wait_for_busy_workers() -> None:
    background = Background(1)
    gate = threading.Event()
    background.submit(gate.wait)
    threads: list[int] = []
    share(background, lambda _: threads.append(threading.get_ident()), range(5))
    assert threads == [threading.get_ident()] * 5
    gate.set()
    background.close()
    assert not background.failures


def test_share_returns_after_the_calls_in_workers() -> None:
    background = Background(2)
    met = threading.Barrier(3)
    ended: list[int] = []

    def call(number: int) -> None:
        met.wait(WAIT_S)  # returns only if three threads make a call each
        time.sleep(0.01 * number)
        ended.append(number)

    share(background, call, range(3))
    assert sorted(ended) == [0, 1, 2]
    background.close()


def test_share_raises_here_or_records_a_failure() -> None:
    background = Background(1)
    with pytest.raises(ZeroDivisionError):
        share(background, lambda _: 1 // 0, [0])
    met = threading.Barrier(2)
    here = threading.get_ident()

    def call(_: int) -> None:
        met.wait(WAIT_S)
        if threading.get_ident() != here:
            raise MemoryError

    share(background, call, range(2))
    background.close()
    assert [type(failure.error) for failure in background.failures] == [MemoryError]


def test_share_keeps_no_item_for_busy_workers() -> None:
    """Otherwise frames that are written would use memory beside `buffer_bytes`."""
    background = Background(1)
    started, busy = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        busy.wait()

    background.submit(work)
    assert started.wait(WAIT_S)
    frames = [np.zeros(8), np.zeros(8)]
    released = [weakref.ref(frame) for frame in frames]
    map_shared(background, np.sum, frames)
    assert background.depth == 2  # the worker has not started to help
    del frames
    assert all(reference() is None for reference in released)
    busy.set()
    background.close()
