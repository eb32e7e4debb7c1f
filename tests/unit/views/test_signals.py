"""Signals of views: whose thread they are emitted on, and what a listener can do to others."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, OMEStream, create_stream, dims_from_standard_axes
from ome_writers.views import deliver, guarded_signal_class

FRAME = np.ones((4, 5), np.uint16)

QT = """
import os, sys, threading, time
os.environ["QT_QPA_PLATFORM"] = "offscreen"
import numpy as np
from {binding} import QtCore
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes

app = QtCore.QCoreApplication([])
settings = AcquisitionSettings(
    root_path=sys.argv[1], dimensions=dims_from_standard_axes({{"t": 40, "y": 4, "x": 5}}), dtype="uint16"
)
stream = create_stream(settings)
view = stream.view()
threads, shapes = [], []


def look():
    threads.append(QtCore.QThread.currentThread() == app.thread())
    shapes.append(view.shape)
    if len(shapes) == 1:
        raise RuntimeError("a viewer that fails")  # would end the process inside a slot of PyQt


view.coords_changed.connect(look)


def acquire():
    for number in range(40):
        stream.append(np.ones((4, 5), np.uint16))
        time.sleep(0.005)
    stream.close()


thread = threading.Thread(target=acquire)
thread.start()
deadline = time.monotonic() + 20
while time.monotonic() < deadline and (thread.is_alive() or not shapes or shapes[-1][0] < 40):
    app.processEvents()
    time.sleep(0.001)
thread.join()
assert all(threads), threads
assert shapes[-1] == (40, 4, 5), shapes
assert len(shapes) > 3, shapes
view.coords_changed.emit()  # on this thread: at once
print("emitted", len(shapes))

# a busy application gets one emission for many changes
del shapes[:]
stream = create_stream(settings.model_copy(update={{"overwrite": True}}))
view = stream.view()
view.coords_changed.connect(look)
for number in range(40):
    stream.append(np.ones((4, 5), np.uint16))
    time.sleep(0.002)
stream.close()
assert not shapes
for _ in range(20):
    app.processEvents()
    time.sleep(0.005)
assert shapes == [(40, 4, 5)], shapes
print("done")
"""


def open_stream(path: Path) -> OMEStream:
    """Create a stream of 8 small frames."""
    return create_stream(
        AcquisitionSettings(
            root_path=path / "x.ome.zarr",
            dimensions=dims_from_standard_axes({"t": 8, "y": 4, "x": 5}),
            dtype="uint16",
        )
    )


@pytest.mark.parametrize("binding", ["PyQt6", "PySide6"])
def test_a_qt_application_is_told_on_its_own_thread(tmp_path: Path, binding: str) -> None:
    """With a Qt application coords_changed is emitted in its thread, once for many changes when it is busy."""
    pytest.importorskip(binding)
    done = subprocess.run(
        [sys.executable, "-c", QT.format(binding=binding), str(tmp_path / "x.ome.zarr")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
    assert "a viewer that fails" in done.stderr  # it was logged


def test_without_qt_a_view_is_told_on_the_thread_of_events(tmp_path: Path) -> None:
    """Without a graphical application coords_changed comes on the thread of the stream's events."""
    told = []
    with open_stream(tmp_path) as stream:
        view = stream.view()
        view.coords_changed.connect(
            lambda: told.append((threading.current_thread().name, view.shape[0]))
        )
        for _ in range(8):
            stream.append(FRAME)
    assert {name for name, _ in told} == {"ome-writers-events"}
    assert told[-1][1] == 8


def test_a_view_has_one_signal(tmp_path: Path) -> None:
    """coords_changed is the same signal each time, of its own for each view."""
    with open_stream(tmp_path) as stream:
        one, other = stream.view(), stream.view()
        assert one.coords_changed is one.coords_changed
        assert one.coords_changed is not other.coords_changed


def test_a_signal_may_be_connected_to_a_signal(tmp_path: Path) -> None:
    """Viewers connect coords_changed to a signal of their own: it is relayed."""
    from psygnal import Signal

    class Viewer:
        dims_changed = Signal()

    viewer, told = Viewer(), []
    viewer.dims_changed.connect(lambda: told.append(True))
    with open_stream(tmp_path) as stream:
        view = stream.view()
        view.coords_changed.connect(viewer.dims_changed)
        stream.append(FRAME)
    assert told


def test_a_view_that_nobody_holds_is_forgotten(tmp_path: Path) -> None:
    """A listener of a view that is gone is not called any more, and nothing breaks."""
    told: list[Any] = []
    with open_stream(tmp_path) as stream:
        stream.view().coords_changed.connect(lambda: told.append(1))
        gc.collect()
        stream.append(FRAME)
    assert not told


def test_listeners_of_a_signal_cannot_harm_each_other(caplog: pytest.LogCaptureFixture) -> None:
    """A listener that raises is logged, the next is called, and emit returns."""
    told = []

    def fail() -> None:
        raise ValueError("broken")

    signal = guarded_signal_class()((), name="looked")
    signal.connect(fail)
    signal.connect(lambda: told.append(1))
    with caplog.at_level(logging.ERROR, "ome_writers"):
        signal.emit()
    assert told == [1]
    assert "A listener of 'looked' raised" in caplog.text


def test_without_an_application_a_callback_is_called_at_once() -> None:
    """Deliver calls directly where no Qt application runs."""
    told = []
    deliver(lambda: told.append(threading.current_thread()))
    assert told == [threading.current_thread()]
