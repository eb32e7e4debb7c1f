"""Memory that `prepare` caches counts towards the budget."""

from __future__ import annotations

import pytest

from ome_writers.storage.libraries.memory_budget import MemoryBudget


def _cannot_free() -> bool:
    return False


def test_prepare_does_not_exceed_budget() -> None:
    budget = MemoryBudget(2_000, _cannot_free)
    budget.prepare(1_000, 4)
    acquired = [budget.acquire(1_000), budget.acquire(1_000)]
    assert budget.try_acquire(1_000) is None
    budget.release(acquired.pop())
    assert budget.try_acquire(1_000) is not None


def test_prepared_memory_is_dropped_for_other_sizes() -> None:
    budget = MemoryBudget(2_000, _cannot_free)
    budget.prepare(500, 4)
    assert budget.acquire(2_000).nbytes == 2_000
    assert budget.try_acquire(500) is None


@pytest.mark.parametrize("pieces", [0, 3])
def test_piece_larger_than_budget_is_lent_if_nothing_else_is(pieces: int) -> None:
    budget = MemoryBudget(100, _cannot_free)
    budget.prepare(1_000, pieces)
    assert budget.acquire(1_000).nbytes == 1_000
    assert budget.try_acquire(1) is None
