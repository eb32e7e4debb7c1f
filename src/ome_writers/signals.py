"""psygnal signals that isolate their listeners from each other, and calls on the thread of a Qt application.

psygnal is imported when the first signal is created, because most streams have no listener.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psygnal import SignalInstance

_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_log = logging.getLogger("ome_writers")
_bridge_lock = threading.Lock()
_bridges: dict[str, Any] = {}


@contextmanager
def log_listener_errors(event: str) -> Iterator[None]:
    """Log exceptions of a listener of `event` instead of propagating them.

    SystemExit and KeyboardInterrupt propagate on the main thread. On any other thread they are logged, too: there they
    would only end the thread, and no listener would be called again.
    """
    try:
        yield
    except BaseException as error:
        on_main_thread = threading.current_thread() is threading.main_thread()
        if on_main_thread and not isinstance(error, Exception):
            raise
        _log.exception(
            "A listener of %r raised an exception; the other listeners are called.", event
        )


@functools.cache
def guarded_signal_class() -> type[SignalInstance]:
    """Return a psygnal signal class that logs an exception of a listener and calls the next listener."""
    from psygnal import SignalInstance

    class GuardedSignal(SignalInstance):
        # psygnal stops at the first listener that raises, without a setting for it. If psygnal renames this private
        # method, `emit` below still logs the exception.
        def _run_emit_loop(self, args: tuple[Any, ...]) -> None:
            for slot in list(self._slots):
                # ReferenceError: the object of the listener was garbage-collected
                with log_listener_errors(self.name), suppress(ReferenceError):
                    slot.cb(args)

        def emit(self, *args: Any, **options: Any) -> None:
            with log_listener_errors(self.name):
                super().emit(*args, **options)

    return GuardedSignal


def call_on_gui_thread(callback: Callable[[], None]) -> None:
    """Call `callback` on the thread of the running Qt application; without one, call it directly.

    From another thread the call is queued and this function returns immediately. No Qt binding is imported: a running
    application has imported its own.
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
    """Return a QObject of the application's thread, in which signals to it are queued."""
    with _bridge_lock:
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

    class Bridge(core.QObject):  # type: ignore[misc]  # the base class is known at run time only
        called = signal(object)

        def run(self, callback: Callable[[], None]) -> None:
            try:
                callback()
            except Exception:  # PyQt aborts the process if a slot raises
                _log.exception("A listener of a view raised an exception.")

        run = slot(object)(run)

    return Bridge
