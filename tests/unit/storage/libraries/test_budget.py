"""Memory that is made ready before it is taken counts like any other."""

from __future__ import annotations

import pytest

from ome_writers.storage.libraries.memory_budget import MemoryBudget


def _nothing() -> bool:
    return False


def test_no_more_is_made_ready_than_may_be_lent() -> None:
    """Of four pieces two fit in; a third that is taken besides has to wait until one comes back."""
    budget = MemoryBudget(2_000, _nothing)
    budget.prepare(1_000, 4)
    taken = [budget.acquire(1_000), budget.acquire(1_000)]
    assert budget.try_to_take(1_000) is None
    budget.release(taken.pop())
    assert budget.try_to_take(1_000) is not None


def test_memory_that_is_ready_makes_way_for_pieces_of_another_size() -> None:
    """All of the budget may be lent at once, whatever was made ready."""
    budget = MemoryBudget(2_000, _nothing)
    budget.prepare(500, 4)
    assert budget.acquire(2_000).nbytes == 2_000
    assert budget.try_to_take(500) is None


@pytest.mark.parametrize("pieces", [0, 3])
def test_a_budget_that_is_too_small_has_nothing_ready(pieces: int) -> None:
    """A piece that is larger than the budget is lent all the same, as long as it is the only one."""
    budget = MemoryBudget(100, _nothing)
    budget.prepare(1_000, pieces)
    assert budget.acquire(1_000).nbytes == 1_000
    assert budget.try_to_take(1) is None
