"""A line on the terminal that says how far a recording has come."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ome_writers_pymmcore.frame_counts import Counts

__all__ = ["told_to"]

_EVERY = 0.1  # seconds
_WIDTH = 24


@contextmanager
def told_to(
    listener: bool | Callable[[Counts], object],
) -> Iterator[Callable[[Counts], object]]:
    """Return what to call with the counts of each frame; `listener` is told some times a second.

    True is the terminal, if there is one, and False nobody.
    """
    shown = listener is True and sys.stderr.isatty()
    show = _show if shown else listener if callable(listener) else None
    due = 0.0
    latest: list[Counts] = []

    def tell(counts: Counts) -> None:
        nonlocal due
        latest[:] = [counts]
        now = time.monotonic()
        if show is not None and now >= due:
            due = now + _EVERY
            show(counts)

    try:
        yield tell
    finally:
        if show is not None and latest:
            show(latest[0])
        if shown:
            print(file=sys.stderr)


def _show(counts: Counts) -> None:
    bar = ""
    if counts.expected:
        done = min(_WIDTH, counts.received * _WIDTH // counts.expected)
        bar = f"[{'#' * done}{'.' * (_WIDTH - done)}] "
    print(f"\r{bar}{counts}", end="", file=sys.stderr, flush=True)
