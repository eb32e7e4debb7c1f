"""The last piece of work of a stream: done once, seen through to its end, and waited for by everybody who asks for it.

Ctrl-C interrupts the main thread wherever it is. So the work has a thread of its own where the main thread asks for it:
what is interrupted then is the waiting, and who asks again waits for the same work. Python waits for that thread, too,
before it ends.
"""

from __future__ import annotations

import threading
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

    KeyboardInterrupt, which Python raises in the main thread, ends the waiting and not the work.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="ome-writers-uninterrupted")
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending, or has no more threads
        run()
    else:
        thread.join()
    if errors:
        raise errors[0]
