"""Threads that finish what `append` began; every error is kept for the caller."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ome_writers.storage.contract import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

__all__ = ["Background", "machine_width"]

_MOST_TASKS = 4096  # under way, before `submit` blocks


def machine_width() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


class _Task(NamedTuple):
    number: int
    run: Callable[[], object]
    frames: Iterable[int]
    strand: Hashable | None


class Background:
    """A pool of daemon threads.

    Tasks begin in the order of `submit`, which blocks while 4,096 are under way; tasks of one strand never run side by
    side (two threads that write to one file would only wait for each other in the kernel, at the price of both).

    Parameters
    ----------
    workers
        Number of threads.
    name
        Prefix of the threads' names.

    Notes
    -----
    After a task has failed the others still run: what can be saved is saved. `failures` holds each
    error with the numbers of the frames that were lost by it.
    """

    def __init__(self, workers: int, *, name: str = "ome-writers") -> None:
        self.failures: list[Failure] = []
        self._ready: deque[_Task] = deque()
        self._strands: dict[Hashable, deque[_Task]] = {}  # of the strands that run: what waits
        self._under_way: set[int] = set()
        self._submitted = 0
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._ended = threading.Condition(self._lock)
        self._waiting = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Number of tasks that wait or run."""
        return len(self._under_way)

    def submit(
        self,
        task: Callable[[], object],
        frames: Iterable[int] = (),
        strand: Hashable | None = None,
    ) -> None:
        """Have `task` run; `frames` are the numbers of the frames that are lost if it fails."""
        with self._lock:
            self._wait_while(lambda: len(self._under_way) >= _MOST_TASKS)
            if self._closed:
                raise RuntimeError("The background threads have ended; no task can be added.")
            self._submitted += 1
            self._under_way.add(self._submitted)
            added = _Task(self._submitted, task, frames, strand)
            if strand is not None:
                if strand in self._strands:
                    self._strands[strand].append(added)
                    return
                self._strands[strand] = deque()
            self._ready.append(added)
            self._work.notify()

    def await_room(self, most: int) -> None:
        """Return when fewer than `most` tasks are under way."""
        with self._lock:
            self._wait_while(lambda: len(self._under_way) >= most)

    def barrier(self) -> None:
        """Return when every task submitted so far has ended; later ones may still wait."""
        with self._lock:
            last = self._submitted
            self._wait_while(lambda: bool(self._under_way) and min(self._under_way) <= last)

    def drain(self) -> None:
        """Return when no task is under way."""
        with self._lock:
            self._wait_while(lambda: bool(self._under_way))

    def close(self) -> None:
        """Finish all tasks and end the threads. A second call does nothing."""
        self.drain()
        with self._lock:
            self._closed = True
            self._work.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _wait_while(self, condition: Callable[[], bool]) -> None:
        """Wait (with the lock held) until a task's end makes `condition` false."""
        self._waiting += 1
        while condition():
            self._ended.wait()
        self._waiting -= 1

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._ready:
                    if self._closed:
                        return
                    self._work.wait()
                task = self._ready.popleft()
            self._run(task)
            del task  # it may hold the memory of frames

    def _run(self, task: _Task) -> None:
        try:
            task.run()
        except BaseException as error:  # kept, and raised to the caller by the stream
            self.failures.append(Failure(error, tuple(task.frames)))
        with self._lock:
            self._under_way.discard(task.number)
            if task.strand is not None:
                if self._strands[task.strand]:
                    # this thread is about to look for it: nobody has to be woken
                    self._ready.appendleft(self._strands[task.strand].popleft())
                else:
                    del self._strands[task.strand]
            if self._waiting:
                self._ended.notify_all()
