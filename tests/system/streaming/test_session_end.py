"""The console window is closed, or the user logs off, while a stream is open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ome_writers as ow
from ome_writers.repair import repair
from ome_writers.streaming import shutdown

RUN = """
import ctypes, sys, time
import numpy as np
import ome_writers as ow

axes = [ow.Dimension(name="t", count=100), ow.Dimension(name="y", count=8), ow.Dimension(name="x", count=8)]
streams = [
    ow.create_stream(ow.AcquisitionSettings(root_path=path, dimensions=axes, dtype="uint16", flush_interval=3600))
    for path in sys.argv[2:]
]
for number in range(7):
    for stream in streams:
        stream.append(np.full((8, 8), number + 1, "uint16"))
# what Windows does in the process when its console window is closed
kernel = ctypes.WinDLL("kernelbase")
kernel.CreateThread.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_uint32, ctypes.c_void_p]
kernel.CreateThread(None, None, ctypes.cast(kernel.CtrlRoutine, ctypes.c_void_p), int(sys.argv[1]), 0, None)
time.sleep(600)
"""
CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT = 2, 5


def check(path: Path) -> None:
    """Assert that the dataset is closed and has the seven frames."""
    assert ow.validate(path).valid
    stored = np.asarray(ow.open(path)).reshape(-1, 8, 8)
    assert [int(plane.max()) for plane in stored[:7]] == [1, 2, 3, 4, 5, 6, 7]
    assert repair(path).findings == ()


@pytest.mark.skipif(sys.platform != "win32", reason="console events exist only on Windows")
@pytest.mark.parametrize("event", [CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT])
def test_streams_are_closed_at_the_end_of_the_console(event: int, tmp_path: Path) -> None:
    paths = [tmp_path / "a.ome.zarr", tmp_path / "b.ome.tiff"]
    subprocess.run(
        [sys.executable, "-c", RUN, str(event), *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,  # Windows ends the process before
    )
    for path in paths:
        check(path)


def test_all_open_streams_are_closed(tmp_path: Path) -> None:
    """What the handler of Windows' events calls; a stream closed before is left alone."""
    axes = ow.dims_from_standard_axes({"t": 10, "y": 8, "x": 8})
    paths = [tmp_path / f"{name}.ome.zarr" for name in "abc"]
    streams = [
        ow.create_stream(ow.AcquisitionSettings(root_path=p, dimensions=axes, dtype="uint16"))
        for p in paths
    ]
    for number in range(7):
        for stream in streams:
            stream.append(np.full((8, 8), number + 1, "uint16"))
    streams[0].close()
    with pytest.warns(ow.UnclosedStreamWarning, match="7 frames"):
        shutdown._close_all()
    for path in paths:
        check(path)
    with pytest.raises(ow.StreamClosedError):
        streams[1].append(np.zeros((8, 8), "uint16"))
