"""How many forks lie between the first process and this one: asked before each frame, so it costs no system call."""

from __future__ import annotations

import os

__all__ = ["generation"]

_forks = 0


def generation() -> int:
    """Return a number that is another one in a forked child than in its parent."""
    return _forks


def _count() -> None:
    global _forks  # the one fact about this process that the module exists for
    _forks += 1


if hasattr(os, "register_at_fork"):  # where there is none there is no fork
    os.register_at_fork(after_in_child=_count)
