"""Threads that finish what append began."""

from __future__ import annotations

import threading
import time

import pytest

from ome_writers.storage.background import Background


def test_tasks_of_a_strand_run_one_after_the_other_in_order() -> None:
    """Two tasks of one strand never overlap, and keep their order, on any number of threads."""
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


def test_a_failure_names_its_frames_and_stops_nobody() -> None:
    """After an error the other tasks run, and the error is kept with the frames that it cost."""
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


def test_a_barrier_does_not_wait_for_what_comes_later() -> None:
    """A barrier returns when what was there before is done, though later tasks still run."""
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


def test_nothing_is_taken_after_close() -> None:
    """A task for threads that have ended is refused."""
    background = Background(1)
    background.close()
    background.close()
    with pytest.raises(RuntimeError, match="have ended"):
        background.submit(lambda: None)
