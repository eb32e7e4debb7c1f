"""The memory pool: prepared buffers count against the budget."""

from __future__ import annotations

from ome_writers.storage.memory_pool import MemoryPool


def do_nothing() -> None:
    """Have nothing to give back."""


def test_prepared_buffers_are_used_first() -> None:
    pool = MemoryPool(3 * 4096, do_nothing)
    pool.prepare(4096, 2)
    ready = {id(buffer) for buffer in pool._free[4096]}
    assert len(ready) == 2
    taken = [pool.acquire(4096) for _ in range(3)]
    assert ready < {id(buffer) for buffer in taken}


def test_prepare_respects_the_budget() -> None:
    """Free buffers are dropped for a buffer of another size."""
    pool = MemoryPool(3 * 4096, do_nothing)
    pool.prepare(4096, 10)
    assert len(pool._free[4096]) == 3
    assert pool.acquire(3 * 4096).nbytes == 3 * 4096
    assert not pool._free[4096]
