"""Buffers that are used, lent or kept for reuse count towards the budget."""

from __future__ import annotations

import mmap
import threading

import numpy as np
import pytest

from ome_writers.storage.memory_budget import MemoryBudget
from support.waiting import WAIT_S

_PAGE = 2**16
_FRAME = ((100, 10), np.dtype("uint8"))  # 1,000 bytes


def _cannot_free() -> bool:
    return False


def test_prepared_buffers_are_used_first() -> None:
    budget = MemoryBudget(3 * _PAGE, _cannot_free)
    budget.prepare(_PAGE, 2)
    prepared = budget.acquire(_PAGE)
    assert prepared.ctypes.data % mmap.PAGESIZE == 0
    assert not prepared[:: mmap.PAGESIZE].any()
    address = prepared.ctypes.data
    budget.release(prepared)
    assert budget.acquire(_PAGE).ctypes.data == address


def test_prepare_does_not_exceed_budget() -> None:
    budget = MemoryBudget(2_000, _cannot_free)
    budget.prepare(1_000, 4)
    acquired = [budget.acquire(1_000), budget.acquire(1_000)]
    assert budget.try_acquire(1_000) is None
    budget.release(acquired.pop())
    assert budget.try_acquire(1_000) is not None


def test_prepared_buffers_are_dropped_for_other_sizes() -> None:
    budget = MemoryBudget(2_000, _cannot_free)
    budget.prepare(500, 4)
    assert budget.acquire(2_000).nbytes == 2_000
    assert budget.try_acquire(500) is None


@pytest.mark.parametrize("pieces", [0, 3])
def test_buffer_larger_than_budget_is_granted_if_no_other_is_in_use(pieces: int) -> None:
    budget = MemoryBudget(100, _cannot_free)
    budget.prepare(1_000, pieces)
    assert budget.acquire(1_000).nbytes == 1_000
    assert budget.try_acquire(1) is None


def test_buffer_larger_than_budget_is_reused_for_the_next_frame() -> None:
    budget = MemoryBudget(100, _cannot_free)
    first = budget.acquire(1_000)
    budget.release(first)
    assert budget.acquire(1_000) is first
    budget.release(first)
    assert budget.acquire(50) is not first


def test_acquire_waits_for_release() -> None:
    """`free_memory` is called once a buffer is missing; the next release ends the wait."""
    asked = threading.Event()

    def free_memory() -> bool:
        asked.set()
        return False

    budget = MemoryBudget(1_000, free_memory)
    first = budget.acquire(1_000)
    waiting = threading.Thread(target=budget.acquire, args=(600,))
    waiting.start()
    assert asked.wait(WAIT_S)
    assert waiting.is_alive()
    budget.release(first)
    waiting.join(WAIT_S)
    assert not waiting.is_alive()
    assert budget.used_bytes == 600


def test_lent_bytes_are_a_part_of_the_used_bytes() -> None:
    budget = MemoryBudget(3_000, _cannot_free)
    written, returned = budget.lend(*_FRAME), budget.lend(*_FRAME)
    assert (budget.used_bytes, budget.lent_bytes) == (2_000, 2_000)
    buffer = budget.end_loan(written)
    assert buffer is not None
    assert (budget.used_bytes, budget.lent_bytes) == (2_000, 1_000)
    budget.reclaim(written)  # the engine has it
    budget.reclaim(returned)
    assert (budget.used_bytes, budget.lent_bytes) == (1_000, 0)
    budget.release(buffer)
    assert budget.used_bytes == 0


def test_engine_gets_memory_while_all_is_lent() -> None:
    """Lent buffers are not released while `append` waits, so one more buffer is granted."""
    budget = MemoryBudget(1_000, _cannot_free)
    budget.lend(*_FRAME)
    assert budget.acquire(500).nbytes == 500
