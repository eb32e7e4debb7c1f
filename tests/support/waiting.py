"""Wait for a condition, for so long that a busy machine or a stalled disk does not fail a test."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 300.0  # for what takes milliseconds; below the timeout of a test


def wait_until(condition: Callable[[], object], interval_s: float = 0.01) -> None:
    """Return when `condition` is true; fail after `WAIT_S`."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(interval_s)
