"""`record`: frames popped from the camera's buffer are stored and counted, also after an overflow."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import popped, release_core
from adapters.pymmcore.stored import SUFFIXES, attributes, read
from ome_writers_pymmcore import Counts, LendingCore, frames, record

pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

from pymmcore_plus.experimental.unicore import UniMMCore

from adapters.pymmcore.cameras import CountingCamera, put_camera

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

demo = pytest.mark.camera


@pytest.fixture
def lending_core() -> Iterator[LendingCore]:
    """Return a core with a Python camera."""
    core = LendingCore()
    put_camera(core, CountingCamera())
    yield core
    release_core(core)


def planes(output: Path) -> np.ndarray:
    """Return the only image's frames, in order."""
    (image,) = read(output)
    return image.pixels.reshape(-1, *image.pixels.shape[-2:])


@demo
@SUFFIXES
def test_record_stores_popped_frames(demo_core: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    with popped(demo_core) as delivered:
        counts = record(demo_core, tmp_path / f"x.ome.{suffix}", n_frames=25, progress=False)
    assert (counts.received, counts.written, counts.dropped) == (25, 25, 0)
    assert (counts.expected, counts.overflowed) == (25, False)
    assert counts.seconds > 0
    np.testing.assert_array_equal(planes(tmp_path / f"x.ome.{suffix}"), delivered)
    assert not demo_core.isSequenceRunning()


@demo
def test_record_for_a_duration(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """The time axis has as many frames as were received."""
    with popped(demo_core) as delivered:
        counts = record(demo_core, tmp_path / "x.ome.zarr", duration=0.15, progress=False)
    assert counts.expected is None
    assert counts.received == counts.written == len(delivered) > 0
    assert 0.15 <= counts.seconds < 60
    np.testing.assert_array_equal(planes(tmp_path / "x.ome.zarr"), delivered)


@demo
def test_record_from_running_camera(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """A free-running camera is stopped after `n_frames`."""
    demo_core.startContinuousSequenceAcquisition(0)
    time.sleep(0.05)
    with popped(demo_core) as delivered:
        counts = record(demo_core, tmp_path / "x.ome.zarr", n_frames=10, progress=False)
    assert (counts.received, counts.dropped) == (10, 0)
    np.testing.assert_array_equal(planes(tmp_path / "x.ome.zarr"), delivered[:10])
    assert not demo_core.isSequenceRunning()


@demo
def test_record_stores_tags_as_frame_metadata(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    record(demo_core, tmp_path / "x.ome.zarr", n_frames=4, progress=False)
    found = attributes(tmp_path / "x.ome.zarr")["ome_writers"]["frame_metadata"]
    assert [f["camera_metadata"]["ImageNumber"] for f in found] == ["0", "1", "2", "3"]
    for frame in found:
        assert frame["delta_t"] == float(frame["camera_metadata"]["ElapsedTime-ms"]) / 1000
        assert frame["exposure_time"] == demo_core.getExposure() / 1000
        assert frame["camera_device"] == "Camera"


@demo
@SUFFIXES
@pytest.mark.parametrize("free", [False, True], ids=["counted", "free-running"])
def test_buffer_overflow_keeps_frames(
    demo_core: CMMCorePlus, free: bool, suffix: str, tmp_path: Path
) -> None:
    """The camera stops when the buffer is full; all frames in the buffer are written, and a warning is issued."""
    output = tmp_path / f"x.ome.{suffix}"
    before = demo_core.getCircularBufferMemoryFootprint()
    demo_core.setCircularBufferMemoryFootprint(1)
    capacity = 2**20 // (48 * 32 * 2)

    def dawdle(_: Counts) -> None:
        for _ in range(1200):
            if demo_core.isBufferOverflowed():
                return
            time.sleep(0.05)

    try:
        with (
            popped(demo_core) as delivered,
            pytest.warns(RuntimeWarning, match=r"buffer of 1 MB was full"),
        ):
            length: Any = {"duration": 60.0} if free else {"n_frames": 4 * capacity}
            counts = record(demo_core, output, progress=dawdle, **length)
    finally:
        demo_core.setCircularBufferMemoryFootprint(before)
    assert counts.overflowed
    assert capacity // 2 < counts.received == counts.written == len(delivered) < 4 * capacity
    assert free or counts.dropped == 4 * capacity - counts.received
    np.testing.assert_array_equal(planes(output), delivered)
    assert not demo_core.isSequenceRunning()
    if suffix == "zarr":
        assert attributes(output)["ome_writers"]["status"] == ("complete" if free else "cancelled")


@demo
def test_dropped_frames_are_counted(
    demo_core: CMMCorePlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap in the camera's own frame numbers is a dropped frame."""
    pop = demo_core.popNextImageAndMD

    def losing(*args: Any, **kwargs: Any) -> Any:
        pop()  # every second frame is lost on its way
        return pop(*args, **kwargs)

    remaining = demo_core.getRemainingImageCount
    monkeypatch.setattr(demo_core, "popNextImageAndMD", losing)
    monkeypatch.setattr(demo_core, "getRemainingImageCount", lambda: remaining() // 2)
    counts = record(demo_core, tmp_path / "x.ome.zarr", n_frames=20, progress=False)
    assert (counts.received, counts.written, counts.dropped) == (10, 10, 10)


@demo
def test_interrupted_recording_keeps_frames(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """Ctrl-C stops the camera; earlier frames are on disk."""

    def interrupt(counts: Counts) -> None:
        if counts.received >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(demo_core, tmp_path / "x.ome.zarr", duration=60, progress=interrupt)
    assert not demo_core.isSequenceRunning()
    assert len(planes(tmp_path / "x.ome.zarr")) >= 3


def test_record_timeout(lending_core: LendingCore, tmp_path: Path) -> None:
    """Without a trigger, the recording ends after the timeout with a hint."""
    lending_core._py_camera().pause = 1.5
    with pytest.raises(TimeoutError, match=r"'Camera': no frame for 0\.1 s"):
        record(lending_core, tmp_path / "x.ome.zarr", n_frames=3, timeout=0.1, progress=False)
    lending_core.startSequenceAcquisition(3, 0, True)
    with pytest.raises(TimeoutError, match="Check the trigger"):
        list(frames(lending_core, timeout=0.1))
    lending_core.stopSequenceAcquisition()


@SUFFIXES
def test_record_python_camera_of_lending_core(
    lending_core: LendingCore, suffix: str, tmp_path: Path
) -> None:
    """Frames are stored in order, with the camera's tags."""
    counts = record(lending_core, tmp_path / f"x.ome.{suffix}", n_frames=12, progress=False)
    assert (counts.received, counts.written, counts.dropped) == (12, 12, 0)
    stored = planes(tmp_path / f"x.ome.{suffix}")
    assert stored[:, 0, 0].tolist() == list(range(1, 13))
    assert (stored == stored[:, :1, :1]).all()
    if suffix == "zarr":
        found = attributes(tmp_path / "x.ome.zarr")["ome_writers"]["frame_metadata"]
        assert [f["camera_metadata"]["Temperature"] for f in found] == list(range(-21, -33, -1))


def test_record_python_camera_of_unicore(tmp_path: Path) -> None:
    """Frames are popped from the ring buffer of a plain UniMMCore."""
    core = UniMMCore()
    put_camera(core, CountingCamera())
    counts = record(core, tmp_path / "x.ome.zarr", n_frames=12, progress=False)
    release_core(core)
    assert (counts.received, counts.written, counts.dropped) == (12, 12, 0)
    assert planes(tmp_path / "x.ome.zarr")[:, 0, 0].tolist() == list(range(1, 13))


def test_record_python_camera_for_a_duration(lending_core: LendingCore, tmp_path: Path) -> None:
    """The time axis and the counts match the frames on disk."""
    lending_core._py_camera().pause = 0.005
    counts = record(lending_core, tmp_path / "x.ome.zarr", duration=0.2, progress=False)
    stored = planes(tmp_path / "x.ome.zarr")
    assert counts.received == counts.written == len(stored) > 0
    assert stored[:, 0, 0].tolist() == list(range(1, len(stored) + 1))


class FailingCamera(CountingCamera):
    """Delivers three frames, and then raises in its thread."""

    def start_sequence(self, n: int | None, get_buffer: Any) -> Iterator[Any]:
        for facts, _ in zip(super().start_sequence(n, get_buffer), range(3), strict=False):
            yield facts
        raise OSError("the cable is out")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("core_class", [LendingCore, UniMMCore])
@pytest.mark.parametrize("length", [{"duration": 30.0}, {"n_frames": 5}], ids=str)
def test_failing_camera_warns(core_class: Any, length: dict[str, Any], tmp_path: Path) -> None:
    """A Python camera raises an error in its own thread; earlier frames are on disk."""
    core = core_class()
    put_camera(core, FailingCamera())
    with pytest.warns(RuntimeWarning, match=r"camera stopped before .*: 3 .*frames received, 3"):
        counts = record(core, tmp_path / "x.ome.zarr", progress=False, **length)
    release_core(core)
    assert (counts.received, counts.written) == (3, 3)
    assert planes(tmp_path / "x.ome.zarr")[:, 0, 0].tolist() == [1, 2, 3]


def test_progress_callback(lending_core: LendingCore, tmp_path: Path) -> None:
    """The callback is called during the recording, and with the final counts."""
    heard: list[Counts] = []
    lending_core._py_camera().pause = 0.01
    record(lending_core, tmp_path / "x.ome.zarr", n_frames=40, progress=heard.append)
    assert len(heard) >= 2
    assert [c.received for c in heard] == sorted(c.received for c in heard)
    assert all(c.expected == 40 for c in heard)


def test_progress_bar_on_terminal(
    lending_core: LendingCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is printed if stderr is not a terminal, or with ``progress=False``."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    record(lending_core, tmp_path / "a.ome.zarr", n_frames=6)
    shown = terminal.getvalue()
    record(lending_core, tmp_path / "b.ome.zarr", n_frames=6, progress=False)
    assert terminal.getvalue() == shown
    assert shown.rpartition("\r")[2].startswith(f"[{'#' * 24}] 6 of 6 frames received")
    assert shown.endswith("\n")
    monkeypatch.setattr(sys, "stderr", file)
    record(lending_core, tmp_path / "c.ome.zarr", n_frames=6)
    assert file.getvalue() == ""


def test_record_without_length_is_refused(lending_core: LendingCore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n_frames, duration"):
        record(lending_core, tmp_path / "x.ome.zarr")
    for wrong in ({"n_frames": 0}, {"n_frames": "5"}, {"duration": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a positive number, got"):
            record(lending_core, tmp_path / "x.ome.zarr", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_record_without_camera_is_refused(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    camera = demo_core.getCameraDevice()
    demo_core.setCameraDevice("")
    try:
        with pytest.raises(ValueError, match="No camera is selected"):
            record(demo_core, tmp_path / "x.ome.zarr", n_frames=3)
    finally:
        demo_core.setCameraDevice(camera)
    assert list(tmp_path.iterdir()) == []


def test_write_error_stops_the_camera(
    lending_core: LendingCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    def remove(_: Counts) -> None:
        shutil.rmtree(tmp_path / "x.ome.zarr", ignore_errors=True)

    lending_core._py_camera().pause = 0.005
    with pytest.raises(OSError, match=r"x\.ome\.zarr"):
        record(lending_core, tmp_path / "x.ome.zarr", duration=20, progress=remove)
    assert not lending_core.isSequenceRunning()
