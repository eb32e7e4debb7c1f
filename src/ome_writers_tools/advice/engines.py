"""Measurement of an engine: a real stream to a temporary directory."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ome_writers import AcquisitionSettings, Dimension, UnsupportedError, create_stream
from ome_writers.toolkit import engine_rows
from ome_writers_tools.advice.camera import Camera

_TRIAL_BYTES = 32 * 2**20  # for loading the library and estimating the number of frames
_MIN_FRAMES = 4
_DISTINCT_FRAMES = 4


@dataclass(frozen=True)
class EngineSpeed:
    """The measured speed of an engine."""

    engine: str
    format: str
    # the reason if it was not measured (not installed, or unsupported settings), otherwise None
    refusal: str | None = None
    frames: int = 0
    seconds: float = 0.0  # from the first `append` to the end of `close`
    # of uncompressed pixels
    bytes_per_second: float = 0.0
    frames_per_second: float = 0.0
    # longest duration of an `append` in seconds, which the camera's buffer must bridge
    longest_append: float = 0.0
    bytes_on_disk: int = 0


def measure_engine(
    engine: str,
    camera: Camera,
    folder: Path,
    *,
    seconds: float = 2.0,
    compression: str | None = None,
    durability: Literal["process", "disk"] = "process",
) -> EngineSpeed:
    """Write a time-lapse of camera-like frames at full speed for about `seconds`, after a short trial.

    The frame rate of `camera` is ignored. At most a quarter of the free space of `folder` is used. `compression` and
    `durability` are as in `AcquisitionSettings`.

    Raises OSError if the directory is not writable, or the free space is too small.
    """
    row = engine_rows()[engine]
    missing = row.missing_requirement()
    if missing is not None:
        return EngineSpeed(engine, row.format, str(missing))
    free = shutil.disk_usage(folder).free
    max_frames = free // 4 // camera.frame_bytes
    if max_frames < _MIN_FRAMES:
        raise OSError(
            f"{folder}: {free} bytes free, too few to measure with frames of {camera.frame_bytes} bytes"
        )
    images = [camera.simulated_frame(seed) for seed in range(_DISTINCT_FRAMES)]

    def write(frames: int) -> EngineSpeed:
        with tempfile.TemporaryDirectory(prefix=".ome-writers-", dir=folder) as scratch:
            settings = AcquisitionSettings(
                root_path=Path(scratch) / "run",
                dimensions=[
                    Dimension(name="t", count=frames),
                    Dimension(name="y", count=camera.height),
                    Dimension(name="x", count=camera.width),
                ],
                dtype=camera.dtype,
                format=engine,
                compression=compression,  # type: ignore[arg-type]  # validated by pydantic
                durability=durability,
            )
            return _write(settings, images, frames, max_seconds=4 * seconds)

    try:
        trial = write(int(min(max_frames, max(_MIN_FRAMES, _TRIAL_BYTES // camera.frame_bytes))))
        return write(int(min(max_frames, max(_MIN_FRAMES, trial.frames_per_second * seconds))))
    except UnsupportedError as error:
        return EngineSpeed(engine, row.format, str(error))
    except ValidationError as error:  # a compression of another format
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        return EngineSpeed(engine, row.format, reason)


def _write(
    settings: AcquisitionSettings,
    images: Sequence[NDArray[np.generic]],
    frames: int,
    max_seconds: float,
) -> EngineSpeed:
    """Write `frames` frames, or fewer if that takes longer than `max_seconds`."""
    longest, done = 0.0, 0
    stream = create_stream(settings)
    start = last = time.perf_counter()
    try:
        for number in range(frames):
            stream.append(images[number % len(images)])
            now = time.perf_counter()
            longest, last, done = max(longest, now - last), now, number + 1
            if now - start > max_seconds:
                break
    finally:
        stream.close()
    elapsed = time.perf_counter() - start
    size = done * images[0].nbytes
    output = Path(settings.output_path)
    files = output.rglob("*") if output.is_dir() else (output,)
    return EngineSpeed(
        engine=settings.format.backend,
        format=settings.format.name,
        frames=done,
        seconds=elapsed,
        bytes_per_second=size / elapsed,
        frames_per_second=done / elapsed,
        longest_append=longest,
        bytes_on_disk=sum(file.stat().st_size for file in files if file.is_file()),
    )
