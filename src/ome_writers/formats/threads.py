"""A map over several threads whose results are in order, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ome_writers.storage import available_cpus

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(
    function: Callable[[T], R], items: Iterable[T], threads: int | None = None
) -> Generator[tuple[T, R], None, None]:
    """Yield each item and its result, in order. No more calls are ahead of them than the threads need.

    By default, there is a thread for each processor.
    """
    threads = threads or available_cpus()
    with ThreadPoolExecutor(threads, "ome-writers-map") as pool:
        pending: deque[tuple[T, Future[R]]] = deque()
        try:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) > 2 * threads:
                    first, result = pending.popleft()
                    yield first, result.result()
            while pending:
                first, result = pending.popleft()
                yield first, result.result()
        finally:
            pool.shutdown(cancel_futures=True)
