"""The life of a stream, as a table.

======== ======================== =================================================
state    takes frames             leaves by
======== ======================== =================================================
OPEN     yes                      a failed write -> FAILED, `close` -> CLOSED
FAILED   no: raises WriteError    `close` -> CLOSED (raises WriteError)
CLOSED   no: raises RuntimeError  -
======== ======================== =================================================
"""

from __future__ import annotations

from enum import Enum

__all__ = ["State"]


class State(Enum):
    """Where a stream is in its life."""

    OPEN = "open"
    FAILED = "failed"
    CLOSED = "closed"

    def after_failure(self) -> State:
        """Return the state that follows when a write has failed."""
        return State.FAILED if self is State.OPEN else self
