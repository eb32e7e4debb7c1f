"""Threads that finish what `append` began; every queue is bounded and every error is kept."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from ome_writers.storage.contract import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Background", "machine_width"]


def machine_width() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


class Background:
    """A pool of daemon threads that run tasks in the order of `submit`.

    Parameters
    ----------
    workers
        Number of threads.
    limit
        `submit` blocks while this many tasks wait.
    name
        Prefix of the threads' names.

    Notes
    -----
    After a task has failed the others still run: what can be saved is saved. `failures` holds each
    error with the numbers of the frames that were lost by it.
    """

    def __init__(self, workers: int, *, limit: int = 1024, name: str = "ome-writers") -> None:
        self.failures: list[Failure] = []
        self._tasks: deque[tuple[int, Callable[[], object], Iterable[int]]] = deque()
        self._limit = limit
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._running: set[int] = set()
        self._submitted = 0
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
        return len(self._tasks) + len(self._running)

    def submit(self, task: Callable[[], object], frames: Iterable[int] = ()) -> None:
        """Have `task` run; `frames` are the numbers of the frames that are lost if it fails."""
        with self._lock:
            while len(self._tasks) >= self._limit:
                self._room.wait()
            if self._closed:
                raise RuntimeError("The background threads have ended; no task can be added.")
            self._submitted += 1
            self._tasks.append((self._submitted, task, frames))
            self._work.notify()

    def drain(self) -> None:
        """Return when every task submitted so far, and each that came meanwhile, has ended."""
        with self._lock:
            while self._tasks or self._running:
                self._idle.wait()

    def barrier(self) -> None:
        """Return when every task submitted so far has ended; later ones may still wait."""
        with self._lock:
            last = self._submitted
            while self._running and min(self._running) <= last or (
                self._tasks and self._tasks[0][0] <= last
            ):
                self._idle.wait()

    def close(self) -> None:
        """Finish all tasks and end the threads. A second call does nothing."""
        self.drain()
        with self._lock:
            self._closed = True
            self._work.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._tasks:
                    if self._closed:
                        return
                    self._work.wait()
                number, task, frames = self._tasks.popleft()
                self._running.add(number)
                self._room.notify()
            try:
                task()
            except BaseException as error:  # kept, and raised to the caller by the stream
                self.failures.append(Failure(error, tuple(frames)))
            finally:
                del task
                with self._lock:
                    self._running.discard(number)
                    self._idle.notify_all()
