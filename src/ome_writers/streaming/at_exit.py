"""When the interpreter ends, streams that are still open are closed; what they hold is not lost.

`atexit` callbacks run when all threads have ended that Python waits for, those of `concurrent.futures` included. So
frames that such threads append after the end of the main thread are taken and written like any others. No engine may
need an executor of `concurrent.futures` then: they refuse work.
"""

from __future__ import annotations

import atexit
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ending", "close_at_exit"]


class Ending(Protocol):
    """A stream, as far as the end of the interpreter goes."""

    def _close_unheld(self) -> None: ...


def close_at_exit(stream: Ending) -> Callable[[], None]:
    """Have `stream` closed when the interpreter ends, without keeping it alive until then.

    Returns
    -------
    What to give to `atexit.unregister` when the stream was closed before.
    """
    held = weakref.ref(stream)

    def close() -> None:
        stream = held()
        if stream is not None:
            stream._close_unheld()

    atexit.register(close)
    return close
