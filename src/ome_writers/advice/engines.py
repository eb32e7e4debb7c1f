"""How fast an engine writes here: a real stream to the disk that is asked about, removed again."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ome_writers.errors import UnsupportedError
from ome_writers.settings import AcquisitionSettings, Dimension
from ome_writers.storage import ENGINES
from ome_writers.streaming import create_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.advice.camera import Camera

__all__ = ["EngineSpeed", "measure_engine"]

TRIAL = 32 * 2**20  # bytes: enough to load the library and to guess how many frames fill the time
LEAST = 4  # frames
PICTURES = 4


@dataclass(frozen=True)
class EngineSpeed:
    """What one engine reached.

    Attributes
    ----------
    engine, format
        Their names.
    refusal
        Why it was not measured: it is not installed, or cannot do this; None where it was.
    frames
        How many were written.
    seconds
        From the first `append` to the end of `close`.
    bytes_per_second
        Of pixels, uncompressed.
    frames_per_second
        The same in frames.
    longest_append
        Seconds that a single `append` took at most: so long a camera's own buffer must hold out.
    bytes_on_disk
        What the dataset took.
    """

    engine: str
    format: str
    refusal: str | None = None
    frames: int = 0
    seconds: float = 0.0
    bytes_per_second: float = 0.0
    frames_per_second: float = 0.0
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
    """Write a time-lapse of camera-like frames as fast as the engine takes them.

    Parameters
    ----------
    engine
        Name of a backend.
    camera
        What a frame is like; its rate is not kept.
    folder
        Where to write; it must exist. At most a quarter of what is free there is used.
    seconds
        About how long to write, a short trial before it left out.
    compression, durability
        As in `AcquisitionSettings`.

    Raises
    ------
    OSError
        If the folder cannot be written to, or there is no room for a few frames.
    """
    row = ENGINES[engine]
    missing = row.missing_requirement()
    if missing is not None:
        return EngineSpeed(engine, row.format, str(missing))
    most = shutil.disk_usage(folder).free // 4 // camera.frame_bytes
    if most < LEAST:
        raise OSError(f"{folder} has no room for {LEAST} frames of {camera.frame_bytes} bytes")
    pictures = [camera.picture(number) for number in range(PICTURES)]

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
                compression=compression,  # type: ignore[arg-type]  # checked there
                durability=durability,
            )
            return _write(settings, pictures, frames, limit=4 * seconds)

    try:
        trial = write(int(min(most, max(LEAST, TRIAL // camera.frame_bytes))))
        return write(int(min(most, max(LEAST, trial.frames_per_second * seconds))))
    except UnsupportedError as error:
        return EngineSpeed(engine, row.format, str(error))
    except ValidationError as error:  # a compression that the format has no name for
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        return EngineSpeed(engine, row.format, said)


def _write(
    settings: AcquisitionSettings,
    pictures: Sequence[NDArray[np.generic]],
    frames: int,
    limit: float,
) -> EngineSpeed:
    """Write `frames` frames; stop earlier where that takes longer than `limit` seconds."""
    longest, done = 0.0, 0
    stream = create_stream(settings)
    began = last = time.perf_counter()
    try:
        for number in range(frames):
            stream.append(pictures[number % len(pictures)])
            now = time.perf_counter()
            longest, last, done = max(longest, now - last), now, number + 1
            if now - began > limit:
                break
    finally:
        stream.close()
    took = time.perf_counter() - began
    size = done * pictures[0].nbytes
    output = Path(settings.output_path)
    files = output.rglob("*") if output.is_dir() else (output,)
    return EngineSpeed(
        engine=settings.format.backend,
        format=settings.format.name,
        frames=done,
        seconds=took,
        bytes_per_second=size / took,
        frames_per_second=done / took,
        longest_append=longest,
        bytes_on_disk=sum(file.stat().st_size for file in files if file.is_file()),
    )
