"""States of a stream, and detection of forked child processes.

======== ============================ ==================================================
state    `append`                     transitions
======== ============================ ==================================================
OPEN     accepts frames               failed write -> FAILED; `close` -> CLOSED
FAILED   raises WriteError            `close` -> CLOSED (raises WriteError)
CLOSED   raises StreamClosedError     none
======== ============================ ==================================================
"""

from __future__ import annotations

import os
from enum import Enum


class State(Enum):
    OPEN = "open"
    FAILED = "failed"
    CLOSED = "closed"


fork_count = 0
"""Number of forks between the first process and this one. Compare it as ``lifecycle.fork_count``, without a system call
per frame: a stream that was created with another value belongs to a parent process."""


def _count_fork() -> None:
    global fork_count  # state of the process, which this module owns
    fork_count += 1


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_count_fork)
