"""Worker threads that finish what `append` started. Every error is recorded for the caller."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from queue import SimpleQueue
from typing import NamedTuple

from ome_writers.locks import Condition
from ome_writers.storage.contract import WriteFailure

if sys.platform == "win32":
    from ome_writers.windows_api import lower_thread_priority as lower_thread_priority
elif sys.platform == "linux":

    def lower_thread_priority() -> None:
        """Let other threads run before this one and those that it starts."""
        os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))

else:

    def lower_thread_priority() -> None:
        """Do nothing: macOS would slow down the thread's disk access as well."""


_MAX_PENDING_TASKS = 4096


def available_cpus() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


class _Task(NamedTuple):
    run: Callable[[], object]
    frames: Iterable[int]
    serial_key: Hashable | None


class _Barrier(NamedTuple):
    """Follows, in the queue, the tasks that it waits for; `passed` gets an item when all of them have ended."""

    passed: SimpleQueue[None]


class Background:
    """A pool of daemon threads.

    Tasks start in the order of `submit`, which blocks while 4,096 are pending. Tasks with the same serial key never
    run concurrently: two threads that write to one file would only wait for each other in the kernel. With
    `low_priority`, other threads run first where there are too few processors for all.

    Notes
    -----
    A task is submitted by a single call of C code, `SimpleQueue.put`, so that after a KeyboardInterrupt in `submit`
    it is either submitted or not. Only the worker threads do any bookkeeping.
    """

    def __init__(
        self, workers: int, *, name: str = "ome-writers", low_priority: bool = False
    ) -> None:
        # The errors of failed tasks, with the numbers of the frames that were lost. Other tasks still run.
        self.failures: list[WriteFailure] = []
        self._queue: SimpleQueue[_Task | _Barrier | None] = SimpleQueue()
        self._dispatch_lock = threading.Lock()  # held by the worker that waits for the next task
        self._lock = threading.Lock()  # guards the attributes below; never held while waiting
        # by serial key of a running task: the tasks that wait for it
        self._waiting: dict[Hashable, deque[tuple[int, _Task]]] = {}
        self._last_dispatched = 0  # number of the last task taken from the queue
        self._pending: set[int] = set()
        self._barriers: list[tuple[int, _Barrier]] = []  # each with the last task that it waits for
        self._task_ended = Condition()
        self._closed = False
        self._low_priority = low_priority
        self.workers = workers
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Number of tasks that wait or run."""
        return self._queue.qsize() + len(self._pending)

    def submit(
        self,
        task: Callable[[], object],
        frames: Iterable[int] = (),
        serial_key: Hashable | None = None,
    ) -> None:
        """Run `task` in the background; `frames` are the numbers of the frames that are lost if it fails."""
        self.wait_until_below(_MAX_PENDING_TASKS)
        if self._closed:
            raise RuntimeError("The background threads have ended; no task can be added.")
        self._queue.put(_Task(task, frames, serial_key))

    def wait_until_below(self, depth: int) -> None:
        """Return when fewer than `depth` tasks are pending."""
        if self.depth >= depth:
            self._task_ended.wait_for(lambda: self.depth < depth)

    def barrier(self) -> None:
        """Return when every task submitted so far has ended; later ones may still be pending."""
        if not self._closed:
            passed: SimpleQueue[None] = SimpleQueue()
            self._queue.put(_Barrier(passed))
            passed.get()

    def close(self) -> None:
        """Finish all tasks and end the threads. A second call does nothing."""
        if self._closed:
            return
        self.barrier()
        self._closed = True
        self._queue.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._queue = SimpleQueue()  # without the None that ended the workers

    # ------------------------------------------------------------------ in the workers

    def _serve(self) -> None:
        if self._low_priority:
            lower_thread_priority()
        while True:
            with self._dispatch_lock:
                following = self._next_task()
            if following is None:
                return
            while following is not None:
                number, task = following
                try:
                    task.run()
                except BaseException as error:  # recorded; the stream raises it to the caller
                    self.failures.append(WriteFailure(error, tuple(task.frames)))
                following = self._end(number, task.serial_key)
                del task  # and its memory, while this thread waits for the next one

    def _next_task(self) -> tuple[int, _Task] | None:
        """Wait for the next task that may run now and return it; None when the pool is closed."""
        while True:
            item = self._queue.get()
            if item is None:
                self._queue.put(None)  # for the other workers
                return None
            with self._lock:
                if isinstance(item, _Barrier):
                    self._barriers.append((self._last_dispatched, item))
                    self._pass_barriers()
                    continue
                self._last_dispatched += 1
                numbered = (self._last_dispatched, item)
                self._pending.add(self._last_dispatched)
                if item.serial_key is not None:
                    if item.serial_key in self._waiting:
                        self._waiting[item.serial_key].append(numbered)
                        continue
                    self._waiting[item.serial_key] = deque()
            return numbered

    def _end(self, number: int, serial_key: Hashable | None) -> tuple[int, _Task] | None:
        """Note the end of a task; return the next one with its serial key, which the same thread runs."""
        following = None
        with self._lock:
            self._pending.discard(number)
            if serial_key is not None:
                if self._waiting[serial_key]:
                    following = self._waiting[serial_key].popleft()
                else:
                    del self._waiting[serial_key]
            if self._barriers:
                self._pass_barriers()
        self._task_ended.notify_all()
        return following

    def _pass_barriers(self) -> None:
        oldest = min(self._pending, default=self._last_dispatched + 1)
        waiting = []
        for last, barrier in self._barriers:
            if oldest > last:
                barrier.passed.put(None)
            else:
                waiting.append((last, barrier))
        self._barriers = waiting
