"""Signals of views: thread of emission and isolation of listeners."""

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
from ome_writers.signals import call_on_gui_thread, guarded_signal_class

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


def on_change():
    threads.append(QtCore.QThread.currentThread() == app.thread())
    shapes.append(view.shape)
    if len(shapes) == 1:
        raise RuntimeError("a viewer that fails")  # PyQt aborts the process if a slot raises


view.coords_changed.connect(on_change)


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
view.coords_changed.emit()  # already on the GUI thread: direct call
print("emitted", len(shapes))

# one emission is queued while the application is busy
del shapes[:]
stream = create_stream(settings.model_copy(update={{"overwrite": True}}))
view = stream.view()
view.coords_changed.connect(on_change)
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
    """Create a stream for 8 small frames."""
    return create_stream(
        AcquisitionSettings(
            root_path=path / "x.ome.zarr",
            dimensions=dims_from_standard_axes({"t": 8, "y": 4, "x": 5}),
            dtype="uint16",
        )
    )


@pytest.mark.parametrize("binding", ["PyQt6", "PySide6"])
def test_coords_changed_is_emitted_on_qt_thread(tmp_path: Path, binding: str) -> None:
    """While the application is busy, one emission is queued for many changes."""
    pytest.importorskip(binding, reason=f"signals on the thread of {binding}, not installed")
    done = subprocess.run(
        [sys.executable, "-c", QT.format(binding=binding), str(tmp_path / "x.ome.zarr")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")
    assert "a viewer that fails" in done.stderr  # logged


def test_coords_changed_is_emitted_on_event_thread_without_qt(tmp_path: Path) -> None:
    calls = []
    with open_stream(tmp_path) as stream:
        view = stream.view()
        view.coords_changed.connect(
            lambda: calls.append((threading.current_thread().name, view.shape[0]))
        )
        for _ in range(8):
            stream.append(FRAME)
    assert {name for name, _ in calls} == {"ome-writers-events"}
    assert calls[-1][1] == 8


def test_each_view_has_its_own_signal(tmp_path: Path) -> None:
    with open_stream(tmp_path) as stream:
        one, other = stream.view(), stream.view()
        assert one.coords_changed is one.coords_changed
        assert one.coords_changed is not other.coords_changed


def test_coords_changed_relays_to_connected_signal(tmp_path: Path) -> None:
    """Viewers connect coords_changed to a signal of a class of their own."""
    from psygnal import Signal

    class Viewer:
        dims_changed = Signal()

    viewer, calls = Viewer(), []
    viewer.dims_changed.connect(lambda: calls.append(True))
    with open_stream(tmp_path) as stream:
        view = stream.view()
        view.coords_changed.connect(viewer.dims_changed)
        stream.append(FRAME)
    assert calls


def test_listener_of_garbage_collected_view_is_not_called(tmp_path: Path) -> None:
    calls: list[Any] = []
    with open_stream(tmp_path) as stream:
        stream.view().coords_changed.connect(lambda: calls.append(1))
        gc.collect()
        stream.append(FRAME)
    assert not calls


def test_exception_of_listener_is_logged_and_next_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def fail() -> None:
        raise ValueError("broken")

    signal = guarded_signal_class()((), name="changed")
    signal.connect(fail)
    signal.connect(lambda: calls.append(1))
    with caplog.at_level(logging.ERROR, "ome_writers"):
        signal.emit()
    assert calls == [1]
    assert "A listener of 'changed' raised" in caplog.text


def test_call_on_gui_thread_is_direct_without_application() -> None:
    calls = []
    call_on_gui_thread(lambda: calls.append(threading.current_thread()))
    assert calls == [threading.current_thread()]
