"""KeyboardInterrupt in the memory budget does not leave a lock held."""

from __future__ import annotations

import threading
from typing import Any

from ome_writers.storage.memory_budget import MemoryBudget
from support.interrupts import interrupt
from support.waiting import WAIT_S


def test_interrupt_releases_locks() -> None:
    """After an interrupt at any step of `acquire` and `release`, another thread can allocate."""
    moment = 0
    while True:
        moment += 1
        lender = MemoryBudget(2**20, lambda: False)

        def work(lender: Any = lender) -> None:
            lender.release(lender.acquire(1000))

        # Python looks for signals where a function begins or ends, and where a loop goes round:
        # never between a lock of its own and the block
        if not interrupt(work, moment, ("call", "return")):
            break
        other = threading.Thread(target=lender.prepare, args=(1000, 1), daemon=True)
        other.start()
        other.join(WAIT_S)
        assert not other.is_alive(), f"step {moment}"
    assert moment > 10
