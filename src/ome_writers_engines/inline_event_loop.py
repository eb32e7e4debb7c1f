"""Runs coroutines of zarr-python to completion in the calling thread.

The synchronous API of zarr-python uses an event loop in a background thread and the threads of `concurrent.futures`.
These reject work once the main thread has ended, while user threads may still append frames. Here each call gets an
event loop that calls functions for an executor immediately, in the same thread.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any


class _Selector(selectors.DefaultSelector):
    """Waits, but does not poll: a system call before each step of a coroutine would release the GIL."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return [] if timeout == 0 else super().select(timeout)


class _InlineEventLoop(asyncio.SelectorEventLoop):
    """An event loop without threads."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def run_in_executor(  # type: ignore[override]  # mypy does not match a generic with Any
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` and return its result or exception as a completed future."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:
            future.set_exception(error)
        return future


class EventLoops:
    """Reusable event loops; thread-safe."""

    def __init__(self) -> None:
        self._idle: deque[asyncio.AbstractEventLoop] = deque()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run(coroutine)
        # only one event loop can run per thread, and that of a notebook already has one
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(self._run, coroutine).result()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            loop = self._idle.pop()
        except IndexError:
            loop = _InlineEventLoop()
        try:
            return loop.run_until_complete(coroutine)
        finally:
            # after an error, tasks of other chunks may remain: none may write later
            while tasks := asyncio.all_tasks(loop):
                loop.run_until_complete(asyncio.wait(tasks))
            self._idle.append(loop)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close idle event loops; from now on each is closed after use."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
