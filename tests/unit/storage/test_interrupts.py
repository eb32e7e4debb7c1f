"""KeyboardInterrupt in the memory budget does not leave a lock held."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from ome_writers.storage.memory_budget import MemoryBudget

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def interrupted(work: Callable[[], object], moment: int) -> bool:
    """Do `work`, interrupted where the `moment`-th function in it begins or ends; return whether it had so many.

    Python looks for signals there (and where a loop goes round): never between a lock of its own and the block.
    """
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        if event in ("call", "return"):
            steps += 1
            if steps == moment:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_interrupt_releases_locks() -> None:
    """After an interrupt at any step of `acquire` and `release`, another thread can allocate."""
    moment = 0
    while True:
        moment += 1
        lender = MemoryBudget(2**20, lambda: False)

        def work(lender: Any = lender) -> None:
            lender.release(lender.acquire(1000))

        if not interrupted(work, moment):
            break
        other = threading.Thread(target=lender.prepare, args=(1000, 1), daemon=True)
        other.start()
        other.join(5)
        assert not other.is_alive(), f"step {moment}"
    assert moment > 10
