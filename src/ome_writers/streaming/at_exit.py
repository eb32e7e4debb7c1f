"""When the interpreter ends, streams that are still open are closed; what they hold is not lost."""

from __future__ import annotations

import atexit
import functools
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ending", "close_at_exit"]


class Ending(Protocol):
    """A stream, as far as the end of the interpreter goes."""

    @property
    def closed(self) -> bool:
        """Whether somebody has closed it, or is about to."""
        ...

    def _tick(self) -> None: ...

    def _close_unheld(self) -> None: ...


_open_streams: weakref.WeakSet[Ending] = weakref.WeakSet()


def close_at_exit(stream: Ending) -> Callable[[], None]:
    """Have `stream` closed when the interpreter ends, without keeping it alive until then.

    Returns
    -------
    What to give to `atexit.unregister` when the stream was closed before.
    """
    _flush_before_executors_end()
    _open_streams.add(stream)
    held = weakref.ref(stream)

    def close() -> None:
        stream = held()
        if stream is not None:
            stream._close_unheld()

    atexit.register(close)
    return close


def _flush_all() -> None:
    """Bring all open streams to disk while libraries can still start threads."""
    for stream in list(_open_streams):
        stream._tick()
        if stream.closed:  # perhaps at this moment, by another thread: that is waited for
            stream._close_unheld()


@functools.cache
def _flush_before_executors_end() -> None:
    """Have `_flush_all` called when the main thread ends, before `concurrent.futures` shuts down.

    zarr-python writes with its executors, which refuse work by the time `atexit` calls anybody. Python has
    no public name for this moment; where it has none at all, only `close` at exit is left.
    """
    import concurrent.futures.thread  # noqa: F401  # who registers later is called earlier

    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with suppress(RuntimeError):  # the interpreter is ending already
            register(_flush_all)
