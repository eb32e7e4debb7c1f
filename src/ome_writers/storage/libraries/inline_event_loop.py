"""Coroutines of zarr-python, run to their end by the thread that needs the result.

zarr-python's own synchronous calls use an event loop on a thread of its own and the threads of `concurrent.futures`.
Those refuse work as soon as the main thread has ended, while threads of the user may still append frames. Here each
call has an event loop to itself, whose executor calls functions at once, in the same thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ome_writers.storage.libraries.region_grid import Where

__all__ = ["EventLoops", "InlineArray"]


class _InlineExecutor(ThreadPoolExecutor):
    """Calls each function at once. Event loops take no other kind than a ThreadPoolExecutor; it never has a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn` and return its result, or what it raised, as a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class EventLoops:
    """Event loops that are used again; safe to use from any thread."""

    def __init__(self) -> None:
        self._idle: deque[asyncio.AbstractEventLoop] = deque()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of `coroutine`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run(coroutine)
        # a thread runs one event loop at a time, and that of a notebook has one already
        with ThreadPoolExecutor(1) as other:
            return other.submit(self._run, coroutine).result()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            loop = self._idle.pop()
        except IndexError:
            loop = asyncio.SelectorEventLoop()
            loop.set_default_executor(_InlineExecutor())
        try:
            return loop.run_until_complete(coroutine)
        finally:
            # after an error, tasks for other chunks are left: none may write later
            while tasks := asyncio.all_tasks(loop):
                loop.run_until_complete(asyncio.wait(tasks))
            self._idle.append(loop)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the idle event loops; from now on each is closed after its use."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class InlineArray:
    """An `AsyncArray` of zarr-python, of which basic selections can be read and written."""

    def __init__(self, array: Any, loops: EventLoops) -> None:
        self._array = array
        self._loops = loops

    def __setitem__(self, where: Where, data: Any) -> None:
        self._loops.run(self._array.setitem(where, data))

    def __getitem__(self, where: Where) -> Any:
        return self._loops.run(self._array.getitem(where))

    def close(self) -> None:
        """Close event loops that are not in use; reading goes on."""
        self._loops.close()
