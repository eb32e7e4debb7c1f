"""Work that a thread shares with idle workers of a `Background`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from ome_writers.storage.background import Background

T = TypeVar("T")
R = TypeVar("R")


def share(background: Background, function: Callable[[T], object], items: Iterable[T]) -> None:
    """Call `function` for each of `items`, in this thread and in idle workers; return when all calls have ended.

    A call that raises in a worker is recorded as a failure.
    """
    # Calls, not items: what a worker has not started keeps no reference to `function` when this has returned.
    pending = deque(partial(function, item) for item in items)
    active: deque[None] = deque()  # one item for each worker that may have taken one of `items`
    ended: SimpleQueue[None] = SimpleQueue()

    def run() -> None:
        while pending:
            try:
                call = pending.popleft()
            except IndexError:  # another thread was faster
                return
            call()
            del call  # and its item, while this thread waits for others

    def run_in_worker() -> None:
        active.append(None)
        try:
            run()
        finally:
            active.pop()
            ended.put(None)

    try:
        for _ in range(min(background.workers, len(pending) - 1)):
            background.submit(run_in_worker)
        run()
    finally:
        pending.clear()
        while active:
            ended.get()


def map_shared(background: Background, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results for `items` in their order; see `share`. The first error is raised."""
    results: dict[int, R] = {}
    errors: list[BaseException] = []

    def call(number: int) -> None:
        try:
            results[number] = function(items[number])
        except BaseException as error:
            errors.append(error)

    share(background, call, range(len(items)))
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(items))]
