"""`OMEDataLogic`: where frames come from, its errors, and interrupted runs.

`FAULT_ROUNDS` is the number of interruptions (6 without it).
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("ophyd_async", reason="ophyd-async needs Python 3.11 or later")

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky.utils import FailedStatus, RunEngineInterrupted
from ophyd_async.core import (
    StandardDetector,
    StaticFilenameProvider,
    StaticPathProvider,
    init_devices,
    soft_signal_rw,
)

import ome_writers
from adapters.ophyd.detectors import CountingCamera, SoftwareTrigger, detector, only_dataset
from ome_writers_ophyd import OMEDataLogic, OMEOutput, RunMetadata

if TYPE_CHECKING:
    from bluesky.run_engine import RunEngine
    from ophyd_async.core import PathProvider

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "6"))


class SignalCamera(CountingCamera):
    """Sets a signal to each frame."""

    signal: Any

    async def acquire(self) -> None:
        for _ in range(self.number_of_frames):
            self.frame_number += 1
            await self.signal.set(np.full(self.shape, self.frame_number, self.dtype))


def test_each_update_of_a_signal_is_a_frame(
    engine: RunEngine, paths: PathProvider, tmp_path: Path
) -> None:
    with init_devices():
        signal = soft_signal_rw(np.ndarray, np.zeros((24, 32), "uint8"))
        data = OMEDataLogic(paths, frames=signal)
        camera = SignalCamera(data, (24, 32), "uint8")
        camera.signal = signal
        device = StandardDetector(name="camera")
        device.add_detector_logics(SoftwareTrigger(camera), camera, data)
    engine(bp.count([device], num=4))
    frames = np.asarray(ome_writers.open(only_dataset(tmp_path)))
    assert (frames.shape, frames.dtype) == ((4, 24, 32), "uint8")
    assert frames[:, 0, 0].tolist() == [1, 2, 3, 4]


class ThreadCamera(CountingCamera):
    """Reads frames into the stream's memory, on a thread of its own."""

    async def acquire(self) -> None:
        await asyncio.to_thread(self.read_frames)

    def read_frames(self) -> None:
        for _ in range(self.number_of_frames):
            with self.data.frame_buffer(frame_metadata={"thread": "camera"}) as frame:
                frame[...] = self.frame_number
            self.frame_number += 1


def test_camera_thread_reads_into_frame_buffers(
    engine: RunEngine, paths: PathProvider, tmp_path: Path
) -> None:
    with init_devices():
        data = OMEDataLogic(paths, shape=(24, 32), dtype="uint8")
        camera = ThreadCamera(data, (24, 32), "uint8")
        device = StandardDetector(name="camera")
        device.add_detector_logics(SoftwareTrigger(camera), camera, data)
    engine(bp.count([device], num=3))
    path = only_dataset(tmp_path)
    assert np.asarray(ome_writers.open(path))[:, 5, 6].tolist() == [0, 1, 2]
    assert [row["thread"] for row in ome_writers.read_frame_metadata(path)] == ["camera"] * 3


def test_concurrent_appends_are_stored_in_order(paths: PathProvider, tmp_path: Path) -> None:
    output = OMEOutput(paths)
    detectors = [OMEDataLogic(output, shape=(4, 4), name=name) for name in ("left", "right")]

    async def acquire() -> None:
        for data in detectors:
            await data.prepare_unbounded(data.datakey_suffix)
        frames = [np.full((4, 4), number, "uint16") for number in range(20)]
        await asyncio.gather(*(data.append(frame) for frame in frames for data in detectors))
        for data in detectors:
            await data.stop()

    asyncio.run(acquire())
    frames = np.asarray(ome_writers.open(only_dataset(tmp_path)))
    assert frames[:, :, 0, 0].tolist() == [[number, number] for number in range(20)]


def test_append_before_prepare_raises(paths: PathProvider) -> None:
    data = OMEDataLogic(paths, shape=(4, 4))
    with pytest.raises(RuntimeError, match="detector: not prepared"):
        asyncio.run(data.append(np.zeros((4, 4), "uint16")))


def test_two_detectors_of_one_name_raise(paths: PathProvider) -> None:
    output = OMEOutput(paths)
    OMEDataLogic(output, shape=(4, 4))
    with pytest.raises(ValueError, match="two detectors are named 'detector'"):
        OMEDataLogic(output, shape=(4, 4))


def test_path_of_an_existing_dataset_fails_the_plan(engine: RunEngine, tmp_path: Path) -> None:
    paths = StaticPathProvider(StaticFilenameProvider("same"), tmp_path)
    with init_devices():
        camera = detector(OMEDataLogic(paths, shape=(32, 48)), "camera")
    engine(bp.count([camera], num=1))
    with pytest.raises(FailedStatus, match="same.ome.zarr"):
        engine(bp.count([camera], num=1))


def test_frames_of_another_shape_fail_the_plan(
    engine: RunEngine, paths: PathProvider, tmp_path: Path
) -> None:
    """The error of a followed signal is raised when the detector is unstaged."""
    with init_devices():
        signal = soft_signal_rw(np.ndarray, np.zeros((24, 32), "uint8"))
        data = OMEDataLogic(paths, frames=signal)
        camera = SignalCamera(data, (7, 7), "uint8")
        camera.signal = signal
        device = StandardDetector(name="camera")
        device.add_detector_logics(SoftwareTrigger(camera), camera, data)

    def plan() -> Any:
        yield from bps.stage(device)
        status = yield from bps.trigger(device)
        yield from bps.sleep(0.3)
        assert not status.done
        yield from bps.unstage(device, wait=True)

    with pytest.raises(FailedStatus, match=r"\(7, 7\)"):
        engine(plan())


def test_error_of_a_frame_that_is_stored_while_unstaging_is_raised(
    engine: RunEngine, paths: PathProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is slower than the plan: the frame is in `append` when the detector is unstaged."""
    append = ome_writers.OMEStream.append

    def slow_append(*arguments: Any, **options: Any) -> None:
        time.sleep(0.6)
        append(*arguments, **options)

    monkeypatch.setattr(ome_writers.OMEStream, "append", slow_append)
    test_frames_of_another_shape_fail_the_plan(engine, paths, tmp_path)


def is_closed(path: Path) -> bool:
    try:
        return ome_writers.read(path).status != "writing"
    except (OSError, ome_writers.OMEWritersError):  # it is being created
        return False


@pytest.mark.parametrize("number", range(ROUNDS))
def test_interruption_at_a_random_moment_leaves_a_valid_dataset(
    engine: RunEngine, paths: PathProvider, tmp_path: Path, number: int
) -> None:
    """The status is that of the run: "complete" after RE.stop, "failed" after RE.abort and RE.halt."""
    how, format = ("abort", "stop", "halt")[number % 3], ("ome-zarr", "ome-tiff")[number % 2]
    metadata = RunMetadata()
    output = OMEOutput(paths, run=metadata, format=format)
    with init_devices():
        camera = detector(OMEDataLogic(output, shape=(32, 48)), "camera")
    engine.subscribe(metadata)

    def interrupt() -> None:
        while engine.state != "running":
            time.sleep(0.001)
        time.sleep(random.Random(number).uniform(0, 0.6))
        engine.request_pause()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        engine(bp.count([camera], num=None))
    thread.join()
    getattr(engine, how)()
    deadline = time.monotonic() + 300
    for path in tmp_path.glob(
        "[!.]*.ome.*"
    ):  # none if the run was interrupted before the first frame
        # after halt, the RunEngine unstages the detector without waiting for it
        while not is_closed(path) and time.monotonic() < deadline:
            time.sleep(0.02)
        metadata.wait()
        spec = ome_writers.read(path)
        print(f"{how} {format}: {spec.status}, {spec.frames_written} frames")
        assert spec.status == ("complete" if how == "stop" else "failed")
        assert (spec.metadata["bluesky"]["stop"]["exit_status"] == "success") == (how == "stop")
        expected = list(range(spec.frames_written or 0)) or [0]  # at least one index along t
        assert np.asarray(ome_writers.open(path))[:, 0, 0].tolist() == expected
        assert ome_writers.validate(path).valid
