"""The flush clock: one thread a stream that brings the disk up to date now and then."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FlushTimer", "Ticking"]


class Ticking(Protocol):
    """What a clock can drive."""

    def _tick(self) -> None: ...


class FlushTimer:
    """Calls ``target._tick()`` every `interval` seconds until it is stopped or `target` is gone.

    It keeps no stream alive: a stream that nobody holds any more can be collected while its clock runs.
    """

    def __init__(self, target: Ticking, interval: float) -> None:
        self._interval = min(interval, threading.TIMEOUT_MAX)
        self._stopped = threading.Event()
        self._target = weakref.ref(target, lambda _: self._stopped.set())
        self._thread = threading.Thread(target=self._run, name="ome-writers-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the clock; a tick that is under way is waited for."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            tick = self._next_tick()
            if tick is None:
                return
            tick()
            del tick  # or the stream could not be collected while the clock waits

    def _next_tick(self) -> Callable[[], None] | None:
        target = self._target()
        return None if target is None else target._tick
