"""Periodic background flush: one thread per stream."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

_MIN_REST = 0.25  # between two calls, as a share of the interval, however long they take


class FlushTimer:
    """Calls the bound method `flush` every `interval_s` seconds, which includes its duration, until `stop`.

    The timer keeps a weak reference only: a stream that is not referenced any more can be garbage collected, which ends
    the thread.
    """

    def __init__(self, flush: Callable[[], None], interval_s: float) -> None:
        self._wake = threading.Event()
        self._stopped = False
        self.set_interval(interval_s)
        self._flush = weakref.WeakMethod(flush, lambda _: self._end())
        self._thread = threading.Thread(target=self._run, name="ome-writers-flush", daemon=True)
        self._thread.start()

    def set_interval(self, interval_s: float) -> None:
        """Call `flush` after `interval_s` from now on."""
        self._interval_s = min(interval_s, threading.TIMEOUT_MAX)
        self._wake.set()

    def stop(self) -> None:
        """End the thread, and wait for a flush in progress."""
        self._end()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _end(self) -> None:
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        elapsed_s = 0.0  # since the last call has begun
        while not self._stopped:
            if self._wake.wait(max(self._interval_s - elapsed_s, _MIN_REST * self._interval_s)):
                self._wake.clear()
                elapsed_s = 0.0
            else:
                began = time.monotonic()
                self._flush_if_alive()
                elapsed_s = time.monotonic() - began

    def _flush_if_alive(self) -> None:
        flush = self._flush()  # a strong reference, which must not exist while `_run` waits
        if flush is not None:
            flush()
