"""Memory that is ready before the first frame counts like any other."""

from __future__ import annotations

from ome_writers.storage.memory_pool import MemoryPool


def nobody() -> None:
    """Have nothing to give back."""


def test_memory_that_is_ready_is_what_is_lent() -> None:
    """Who takes a buffer gets one of those that were made ready, until there are none left."""
    pool = MemoryPool(3 * 4096, nobody)
    pool.prepare(4096, 2)
    ready = {id(buffer) for buffer in pool._free[4096]}
    assert len(ready) == 2
    taken = [pool.acquire(4096) for _ in range(3)]
    assert ready < {id(buffer) for buffer in taken}


def test_no_more_is_ready_than_the_budget() -> None:
    """Of ten buffers as many are made as fit, and they make way for a buffer of another size."""
    pool = MemoryPool(3 * 4096, nobody)
    pool.prepare(4096, 10)
    assert len(pool._free[4096]) == 3
    assert pool.acquire(3 * 4096).nbytes == 3 * 4096
    assert not pool._free[4096]
