"""The last piece of work of a stream: done once, seen through to its end, and waited for by everybody who asks for it.

Ctrl-C interrupts the main thread wherever it is. So the work has a thread of its own where the main thread asks for it:
what is interrupted then is the waiting, and who asks again waits for the same work; so does the function that `at_exit`
registers, before Python ends.
"""

from __future__ import annotations

import _thread
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Once", "uninterrupted"]


class Once:
    """Work that is done at most once, by the first thread that asks for it; others wait.

    Attributes
    ----------
    done
        Whether it is.
    """

    def __init__(self) -> None:
        self.done = False
        self._working = threading.Lock()
        self._worker: int | None = None  # the thread that is at it

    def do(self, work: Callable[[], object]) -> bool:
        """Return when `work` is done, and whether it was done here. Called out of the work, this returns at once."""
        if self.done or self._worker == threading.get_ident():
            return False
        with self._working:
            if self.done:
                return False
            self._worker = threading.get_ident()
            try:
                work()
            finally:
                self._worker = None
            self.done = True
            return True


def uninterrupted(work: Callable[[], object]) -> None:
    """Have `work` done by a thread of its own, and wait for it; raise what it raises.

    KeyboardInterrupt, which Python raises in the main thread, ends the waiting and not the work. The thread is started
    and waited for in C code: in `threading.Thread.start` an exception can leave a lock of all threads locked.
    """
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # the interpreter is ending, or has no more threads
        run()
    error = ended.get()
    if error is not None:
        raise error
