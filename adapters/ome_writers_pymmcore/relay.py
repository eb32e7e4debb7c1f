"""Follow the thread by which pymmcore-plus relays the signals of a run to its output handlers.

Verified with pymmcore-plus 0.18.1. It stops the thread just before it relays `sequenceFinished`, so that the signal is
occasionally lost. If `KeyboardInterrupt` (Ctrl-C) ends the run, the signal is not emitted at all, and nothing stops
the thread, which is not a daemon: the process never ends. If a listener of `sequenceFinished` that is called before
raises an exception, nothing stops the thread either, and `mda.run` waits for it until Ctrl-C. Remove this module when
`mda_listeners_connected` stops its thread however the run ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import SignalInstance

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

_POLL_INTERVAL_S = 0.05
_MAX_FINISHING_S = 5.0  # other listeners of `sequenceFinished` may take their time


def is_relay(thread: threading.Thread) -> bool:
    """Whether the thread relays the signals of a run; its class is private."""
    return type(thread).__name__ == "MDARelayThread"


def follow_relay(
    relay: Any,
    core: Callable[[], CMMCorePlus],
    *,
    write: Callable[..., object],
    finish: Callable[[], object],
    interrupt: Callable[[], object],
) -> bool:
    """Call `finish` after the last signal, and `interrupt` before it if the run was interrupted.

    Both are called by a thread that keeps the process alive until `finish` has returned. Return whether `write` is
    called with each frame; otherwise (Qt signals) frames that an interrupted run has not relayed yet are lost.
    """
    signals = relay.signals
    is_connected = isinstance(signals.frameReady, SignalInstance)
    if is_connected:
        signals.frameReady.connect(write)

    def is_interrupted() -> bool:
        """Whether the handlers were disconnected, which normally happens after the thread has ended."""
        if is_connected:
            return len(signals.frameReady) == 1
        try:
            return not signals.receivers(signals.frameReady)
        except TypeError:  # PySide cannot count them
            return False

    def follow() -> None:
        finishing_since: float | None = None
        while relay.is_alive() and not is_interrupted():
            relay.join(_POLL_INTERVAL_S)
            if relay.remaining() or core().mda.status.phase != "finishing":
                finishing_since = None
            elif finishing_since is None:
                finishing_since = time.monotonic()
            elif time.monotonic() - finishing_since > _MAX_FINISHING_S:
                finish()
        try:
            if relay.is_alive():
                interrupt()
        finally:  # also after an error, or the process would never end
            if relay.is_alive():
                relay.stop()
                relay.join()
            finish()

    threading.Thread(target=follow, name="ome-writers-relay").start()
    return is_connected
