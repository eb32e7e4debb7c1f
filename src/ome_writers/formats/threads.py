"""Threads that read ahead: checks of a dataset spend most of their time in calls that release the interpreter lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ome_writers.storage import available_cpus

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Yield each item and the result of `function`, in the order of `items`; a few items are taken ahead."""
    workers = available_cpus()
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[tuple[T, Future[R]]] = deque()
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) > 2 * workers:
                first, result = pending.popleft()
                yield first, result.result()
        yield from ((item, result.result()) for item, result in pending)
