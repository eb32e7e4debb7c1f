"""A1: a fly scan of an ophyd-async detector, written by `OMEDataLogic` and by ophyd-async's own HDF5 file.

`python -m benchmarks.ophyd_fly_scan` needs the extra `ophyd` and h5py (`tox -e ophyd`). One detector takes the same
frames for each writer, without waiting between them. OME-Zarr has a file per frame, or shards of 64 frames. The HDF5
file is that of ophyd-async's simulated detector: one chunk per frame, single writer and multiple readers (SWMR),
flushed after each frame. The writers alternate in one process, and the time is that of the whole plan, from staging to
unstaging. Afterwards all frames are read back.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
from bluesky.run_engine import RunEngine
from ophyd_async.core import (
    DetectorAcquireLogic,
    DetectorDataLogic,
    DetectorTriggerLogic,
    PathProvider,
    StandardDetector,
    StaticPathProvider,
    StreamableDataProvider,
    StreamResourceDataProvider,
    StreamResourceInfo,
    TriggerInfo,
    UUIDFilenameProvider,
    init_devices,
    soft_signal_r_and_setter,
)
from ophyd_async.sim._pattern_generator import DATA_PATH, PatternFile

import ome_writers
from ome_writers import Dimension
from ome_writers_ophyd import OMEDataLogic, OMEOutput

SIZE = 512
DTYPE = "uint8"  # of the HDF5 file
WRITERS = ("ome-zarr", "ome-zarr in shards", "ome-tiff", "hdf5")
_SHARDS = [Dimension(name="t", count=None, type="time", shard_size_chunks=64)]


class FrameWriter(Protocol):
    async def append(self, frame: Any, /) -> None: ...


class HDF5DataLogic(DetectorDataLogic):
    """Writes as ophyd-async's `PatternFile` does: extend, write, flush, then report the frame."""

    def __init__(self, paths: PathProvider) -> None:
        self.paths = paths
        self.file: PatternFile | None = None
        self.written, self.set_written = soft_signal_r_and_setter(int)

    async def append(self, frame: Any, /) -> None:
        assert self.file is not None
        data = self.file.data
        data.resize(self.file.image_counter + 1, axis=0)
        data[self.file.image_counter] = frame
        data.flush()
        self.file.image_counter += 1
        self.set_written(self.file.image_counter)
        await asyncio.sleep(0)

    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        path = self.paths(datakey_name)
        self.file = PatternFile(path.directory_path / f"{path.filename}.h5", SIZE, SIZE)
        self.set_written(0)
        resource = StreamResourceInfo(
            data_key=datakey_name,
            shape=(SIZE, SIZE),
            chunk_shape=(1, SIZE, SIZE),
            dtype_numpy=np.dtype(DTYPE).str,
            parameters={"dataset": DATA_PATH},
        )
        uri = f"{path.directory_uri}{path.filename}.h5"
        return StreamResourceDataProvider(uri, [resource], "application/x-hdf5", self.written)

    async def stop(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class Camera(DetectorAcquireLogic):
    """Takes frames of camera-like noise, numbered in their first two pixels, as fast as they are stored."""

    def __init__(self, data: FrameWriter) -> None:
        self.data = data
        self.number_of_frames = 0
        self.frames = np.random.default_rng(0).poisson(100, (8, SIZE, SIZE)).astype(DTYPE)
        self.acquiring: asyncio.Task[None] | None = None

    async def start_acquiring(self) -> None:
        self.acquiring = asyncio.create_task(self.acquire())

    async def acquire(self) -> None:
        for number in range(self.number_of_frames):
            frame = self.frames[number % len(self.frames)]
            frame[0, :2] = divmod(number, 256)
            await self.data.append(frame)

    async def wait_for_idle(self) -> None:
        if self.acquiring is not None:
            await self.acquiring

    async def ensure_stopped(self) -> None:
        if self.acquiring is not None:
            self.acquiring.cancel()
            await asyncio.gather(self.acquiring, return_exceptions=True)


class Trigger(DetectorTriggerLogic):
    def __init__(self, camera: Camera) -> None:
        self.camera = camera

    async def prepare_internal(self, num: int, livetime: float, deadtime: float) -> None:
        self.camera.number_of_frames = num


def fly(device: StandardDetector, frames: int) -> Any:
    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def plan() -> Any:
        yield from bps.prepare(device, TriggerInfo(number_of_events=frames), wait=True)
        yield from bps.declare_stream(device, name="primary")
        yield from bps.kickoff_all(device, wait=True)
        yield from bps.collect_while_completing(
            [device], [device], flush_period=0.1, stream_name="primary"
        )

    return plan()


def scan(engine: RunEngine, writer: str, folder: Path, frames: int) -> float:
    """Return the seconds of one scan; raises if a frame is missing or wrong."""
    paths = StaticPathProvider(UUIDFilenameProvider(), folder)
    with init_devices():
        data: Any
        if writer == "hdf5":
            data = HDF5DataLogic(paths)
        else:
            format, _, in_shards = writer.partition(" ")
            output = OMEOutput(paths, format=format, dimensions=_SHARDS if in_shards else ())
            data = OMEDataLogic(output, shape=(SIZE, SIZE), dtype=DTYPE)
        camera = Camera(data)
        device = StandardDetector(name="camera")
        device.add_detector_logics(Trigger(camera), camera, data)
    start = time.perf_counter()
    engine(fly(device, frames))
    seconds = time.perf_counter() - start
    check(next(folder.iterdir()), frames)
    return seconds


def check(path: Path, frames: int) -> None:
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            stored = file[DATA_PATH][:, 0, :2]
    else:
        stored = np.asarray(ome_writers.open(path))[:, 0, :2]
    expected = np.stack(np.divmod(np.arange(frames), 256), axis=1)
    np.testing.assert_array_equal(stored, expected)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--dir", type=Path, help="where to write (default: the temporary directory)"
    )
    options = parser.parse_args()
    engine = RunEngine({}, context_managers=[])
    seconds: dict[str, list[float]] = {writer: [] for writer in WRITERS}
    for number in range(options.rounds + 1):
        for writer in WRITERS:
            folder = Path(tempfile.mkdtemp(dir=options.dir))
            try:
                taken = scan(engine, writer, folder, options.frames)
            finally:
                shutil.rmtree(folder)
            if number:  # the first round is a warm-up
                seconds[writer].append(taken)
    for writer, times in seconds.items():
        ratios = [own / other for own, other in zip(times, seconds["hdf5"], strict=True)]
        print(
            f"{writer:18} {statistics.median(times) / options.frames * 1e6:6.0f} us per frame "
            f"({min(times) / options.frames * 1e6:.0f} to {max(times) / options.frames * 1e6:.0f}), "
            f"{statistics.median(ratios):.2f} of the time of HDF5"
        )


if __name__ == "__main__":
    main()
