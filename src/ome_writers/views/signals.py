"""Signals whose listeners cannot harm each other, and the way to the thread of a graphical application.

psygnal is imported when the first signal is made: most streams have no listener.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psygnal import SignalInstance

__all__ = ["deliver", "guarded", "guarded_signal_class"]

_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_log = logging.getLogger("ome_writers")
_making = threading.Lock()
_bridges: dict[str, Any] = {}


@contextmanager
def guarded(event: str) -> Iterator[None]:
    """Log what a listener of `event` raises, and go on.

    SystemExit and KeyboardInterrupt end the application when they are raised on the main thread. On any other thread
    they would end that thread only, and no listener would be called any more: they are logged, too.
    """
    try:
        yield
    except BaseException as error:
        on_main_thread = threading.current_thread() is threading.main_thread()
        if on_main_thread and not isinstance(error, Exception):
            raise
        _log.exception("A listener of %r raised; the other listeners are called.", event)


@functools.cache
def guarded_signal_class() -> type[SignalInstance]:
    """Return a class of psygnal signals that log what a listener raises, and go on with the next."""
    from psygnal import SignalInstance

    class GuardedSignal(SignalInstance):
        """A signal that survives its listeners."""

        # psygnal stops at the first listener that raises and has no setting for it; without this method
        # (should psygnal call it by another name one day) `emit` below still keeps the error in
        def _run_emit_loop(self, args: tuple[Any, ...]) -> None:
            for slot in list(self._slots):
                # a ReferenceError means that the listener's object was collected
                with guarded(self.name), suppress(ReferenceError):
                    slot.cb(args)

        def emit(self, *args: Any, **options: Any) -> None:
            with guarded(self.name):
                super().emit(*args, **options)

    return GuardedSignal


def deliver(callback: Callable[[], None]) -> None:
    """Call `callback` on the thread of the Qt application, if one runs; else here and now.

    On another thread than the application's it is queued, and this function returns at once. No binding of Qt is
    imported: an application that runs has imported its own.
    """
    for binding in _BINDINGS:
        core = sys.modules.get(f"{binding}.QtCore")
        if core is None:
            continue
        application = core.QCoreApplication.instance()
        if application is not None:
            if core.QThread.currentThread() == application.thread():
                callback()
            else:
                _bridge(binding, core, application).called.emit(callback)
            return
    callback()


def _bridge(binding: str, core: Any, application: Any) -> Any:
    """Return an object that lives in the application's thread; signals to it are queued there."""
    with _making:
        bridge = _bridges.get(binding)
        if bridge is None or bridge.thread() != application.thread():
            bridge = _bridge_class(binding, core)()
            bridge.called.connect(bridge.run, core.Qt.ConnectionType.QueuedConnection)
            bridge.moveToThread(application.thread())
            _bridges[binding] = bridge
        return bridge


def _bridge_class(binding: str, core: Any) -> Any:
    signal, slot = (
        (core.pyqtSignal, core.pyqtSlot) if binding.startswith("PyQt") else (core.Signal, core.Slot)
    )

    class Bridge(core.QObject):  # type: ignore[misc]  # the base is found at run time
        called = signal(object)

        def run(self, callback: Callable[[], None]) -> None:
            try:
                callback()
            except Exception:  # PyQt ends the process when a slot raises
                _log.exception("A listener of a view raised.")

        run = slot(object)(run)

    return Bridge
