"""Shut down a stream: once, completely, and also after Ctrl-C, at interpreter exit or at the end of a session.

Ctrl-C interrupts the main thread at any point. `run_uninterrupted` therefore runs the work in a thread of its own:
KeyboardInterrupt interrupts only the wait, and the next caller waits for the same work.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from typing import TypeVar

if sys.platform == "win32":
    from ome_writers.windows_api import call_at_console_end


T = TypeVar("T")

_log = logging.getLogger("ome_writers")


class RunOnce:
    """Work that runs at most once, in the first thread that requests it; other threads wait until it has ended."""

    def __init__(self) -> None:
        self.done = False
        self._lock = threading.Lock()
        self._running_in: int | None = None  # thread identifier

    def run(self, work: Callable[[], object]) -> bool:
        """Return when `work` has run, and whether this call ran it. A call from inside `work` returns at once."""
        if self.done or self._running_in == threading.get_ident():
            return False
        with self._lock:
            if self.done:
                return False
            self._running_in = threading.get_ident()
            try:
                work()
            finally:
                self._running_in = None
            self.done = True
            return True


def run_uninterrupted(work: Callable[[], object]) -> None:
    """Run `work` in a new thread, wait for it, and raise what it raises; Ctrl-C interrupts only the wait.

    The thread is started and awaited in C code: KeyboardInterrupt inside `threading.Thread.start` can leave a lock that
    all threads need locked.
    """
    result: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            result.put(error)
        else:
            result.put(None)

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # no more threads: the interpreter is finalizing, or a limit is reached
        run()
    error = result.get()
    if error is not None:
        raise error


def call_while_alive(method: Callable[[], T], default: T) -> Callable[[], T]:
    """Return a function that calls a bound method without keeping its object alive; afterwards it returns `default`."""
    reference = weakref.WeakMethod(method)

    def call() -> T:
        bound = reference()
        return default if bound is None else bound()

    return call


_closing_at_exit: set[Callable[[], None]] = set()


def close_at_exit(close: Callable[[], None]) -> Callable[[], None]:
    """Call the bound method `close` when the interpreter exits, unless its stream was garbage collected before.

    On Windows also when the console window is closed, the user logs off or the machine shuts down; POSIX signals end
    the process unless the application handles them.

    `atexit` callbacks run after Python has joined all non-daemon threads, those of `concurrent.futures` included, so
    frames that such threads append after the end of the main thread are still written. Engines must not use an executor
    of `concurrent.futures` here: executors refuse work at this point.

    Returns the registered function, for `keep_open_at_exit`.
    """
    callback = call_while_alive(close, None)
    atexit.register(callback)
    _closing_at_exit.add(callback)
    _handle_console_end()
    return callback


def keep_open_at_exit(callback: Callable[[], None]) -> None:
    """Undo `close_at_exit`."""
    atexit.unregister(callback)
    _closing_at_exit.discard(callback)


@lru_cache(maxsize=1)
def _handle_console_end() -> None:
    if sys.platform == "win32":
        call_at_console_end(_close_all)


def _close_all() -> None:
    for close in list(_closing_at_exit):
        try:
            close()
        except Exception:  # of a warning that is an error: the other streams must be closed, too
            _log.exception("A stream could not be closed.")
