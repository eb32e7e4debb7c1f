"""Frame counts of an acquisition, and a progress bar on the terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

_REPORT_INTERVAL_S = 0.1
_BAR_WIDTH = 24
_START_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.02


@dataclass(frozen=True)
class Counts:
    """Frame counts of one acquisition, in progress or finished.

    Attributes
    ----------
    received
        Frames that the camera delivered.
    written
        Frames on disk; equal to `received` once the stream is closed.
    dropped
        Frames that were expected but not delivered: a snap failed, or the camera's own frame numbers have a gap.
    expected
        Planned number of frames; None if it cannot be known.
    seconds
        Duration of the acquisition so far.
    overflowed
        Whether the camera stopped because its buffer was full.
    """

    received: int = 0
    written: int = 0
    dropped: int = 0
    expected: int | None = None
    seconds: float = 0.0
    overflowed: bool = False

    @property
    def rate(self) -> float:
        """Frames received per second."""
        return self.received / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        of = "" if self.expected is None else f" of {self.expected}"
        text = (
            f"{self.received}{of} frames received, {self.written} written, {self.dropped} dropped"
        )
        if self.overflowed:
            text += ", the camera's buffer overflowed"
        return f"{text} ({self.rate:.0f} frames/s)"


@contextmanager
def progress_reporter(
    listener: bool | Callable[[Counts], object], path: str = ""
) -> Iterator[Callable[[Counts], object]]:
    """Yield a function to call with the counts after each frame; it calls `listener` at most ten times per second.

    With True, the listener is a progress bar on stderr if stderr is a terminal; duration and `path` follow at the end.
    The last counts are always reported.
    """
    has_bar = listener is True and sys.stderr.isatty()
    show = _show_bar if has_bar else listener if callable(listener) else None
    due = 0.0
    latest: Counts | None = None

    def report(counts: Counts) -> None:
        nonlocal due, latest
        latest = counts
        now = time.monotonic()
        if show is not None and now >= due:
            due = now + _REPORT_INTERVAL_S
            show(counts)

    try:
        yield report
    finally:
        if show is not None and latest is not None:
            show(latest)
        if has_bar:
            seconds = f"{latest.seconds:.1f} s" if latest is not None else "no frames"
            print(f"\n{path or 'memory'}: {seconds}", file=sys.stderr)


def _show_bar(counts: Counts) -> None:
    bar = ""
    if counts.expected:
        done = min(_BAR_WIDTH, counts.received * _BAR_WIDTH // counts.expected)
        bar = f"[{'#' * done}{'.' * (_BAR_WIDTH - done)}] "
    print(f"\r{bar}{counts}", end="", file=sys.stderr, flush=True)


def wait_for_start(
    started: Callable[[], bool],
    finished: threading.Event,
    core: Callable[[], CMMCorePlus],
    timeout: float | None,
) -> None:
    """Wait up to `timeout` seconds for a run that another thread is about to start; raise RuntimeError without one."""
    now = time.monotonic()
    end = None if timeout is None else now + timeout
    latest_start = now + _START_TIMEOUT_S
    while not started() and not finished.wait(_POLL_INTERVAL_S):
        now = time.monotonic()
        alone = threading.active_count() == 1  # no thread could start a run
        if not alone and core().mda.is_running():
            latest_start = now + _START_TIMEOUT_S
        if alone or now >= latest_start:
            raise RuntimeError(
                "MDAWriter.result: no run has started with this writer. Pass it to a run, as in "
                "mda.run(sequence, output=writer), or call attach(core) before the run."
            )
        if end is not None and now >= end:
            return
