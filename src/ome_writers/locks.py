"""Locks and conditions that KeyboardInterrupt in `append` cannot leave locked.

Python runs signal handlers in the main thread between any two bytecode instructions, and debuggers and profilers may
raise at any line, also between the last line of a ``with lock:`` block and the release of the lock. `append` calls
`release_locks_of_this_thread` when such an exception leaves it.

`threading.Condition.wait` releases and reacquires its lock in Python code. An exception between these steps makes the
surrounding ``with`` statement release a lock that is not held. In `Condition` each step is a single call of C code.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _thread import RLock as Lock

_locks: dict[int, weakref.ref[Lock]] = {}


def new_lock() -> Lock:
    """Return a reentrant lock that is registered for `release_locks_of_this_thread`.

    For every lock that the thread that calls `append` holds meanwhile.
    """
    lock = threading.RLock()
    key = id(lock)
    # The callback is C code: an exception in a Python callback of the garbage collector would be ignored.
    _locks[key] = weakref.ref(lock, partial(_locks.pop, key))
    return lock


def is_owned(lock: Lock) -> bool:
    """Return whether the calling thread holds the lock."""
    return lock._is_owned()  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001 # no public equivalent


def release_locks_of_this_thread() -> None:
    """Release all locks of `new_lock` that an exception has left locked by this thread."""
    for reference in list(_locks.values()):
        lock = reference()
        while lock is not None and is_owned(lock):
            lock.release()


class Condition:
    """Lets threads wait for a predicate. After a change of what it depends on, call `notify_all`."""

    def __init__(self) -> None:
        self._waiters: deque[SimpleQueue[None]] = deque()

    def notify_all(self) -> None:
        """Make all waiting threads evaluate their predicates again."""
        for _ in range(len(self._waiters)):
            try:
                self._waiters.popleft().put(None)
            except IndexError:  # another thread has notified the rest
                return

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `predicate` is true, at most `timeout_s` seconds; return whether it is.

        The caller must not hold a lock that callers of `notify_all` need.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not predicate():
            rest = None if deadline is None else deadline - time.monotonic()
            if rest is not None and rest <= 0:
                return False
            waiter: SimpleQueue[None] = SimpleQueue()
            self._waiters.append(waiter)
            if predicate():  # it became true before the notification could reach this waiter
                return True
            try:
                waiter.get(timeout=rest)
            except Empty:
                self._forget(waiter)
        return True

    def _forget(self, waiter: SimpleQueue[None]) -> None:
        with suppress(ValueError):  # notified at this moment
            self._waiters.remove(waiter)
