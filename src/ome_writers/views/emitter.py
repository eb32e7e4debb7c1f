"""Emission of a signal on the thread of a Qt application, combined with those that are not processed yet."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from ome_writers.signals import call_on_gui_thread

if TYPE_CHECKING:
    from psygnal import SignalInstance


def emitter(signal: SignalInstance) -> Callable[[], None]:
    """Return a function that emits `signal`, if it still exists, on the GUI thread.

    At most one emission is queued: calls before it is processed have no effect.
    """
    reference = weakref.ref(signal)
    queued = threading.Event()

    def emit() -> None:
        queued.clear()
        signal = reference()
        if signal is not None:
            signal.emit()

    def request() -> None:
        if not queued.is_set():
            queued.set()
            call_on_gui_thread(emit)

    return request
