"""How many forks lie between the first process and this one: asked before each frame, so it costs no system call."""

from __future__ import annotations

import os

__all__ = ["generation"]

generation = 0
"""Another one in a forked child than in its parent; to be looked up in the module each time."""


def _count() -> None:
    global generation  # the one fact about this process that the module exists for
    generation += 1


if hasattr(os, "register_at_fork"):  # where there is none there is no fork
    os.register_at_fork(after_in_child=_count)
