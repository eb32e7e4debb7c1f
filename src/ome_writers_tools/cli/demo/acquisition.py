"""An acquisition from Micro-Manager's demo camera, run as any user of pymmcore-plus runs it."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers_tools.cli.command import MissingExtraError, require

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus
    from useq import MDAEvent, MDASequence


LIBRARIES = {"pymmcore_plus": "pymmcore-plus", "useq": "useq-schema", "PIL": "pillow"}


@dataclass(frozen=True)
class DeliveredFrame:
    """One frame as the camera delivered it."""

    index: Mapping[str, int]  # index of its event: axis name (t, p, c, z) to number
    checksum: int  # CRC-32 of its pixels in C order


@dataclass(frozen=True)
class Acquisition:
    """The delivered frames in order, and the duration of the run in seconds."""

    frames: tuple[DeliveredFrame, ...]
    seconds: float


@dataclass(frozen=True)
class Microscope:
    """The loaded demo microscope and the sequence to run."""

    core: CMMCorePlus
    sequence: MDASequence

    def output_path(self, output: Path) -> Path:
        """Return the path of the dataset: a set of TIFF files is a directory."""
        from ome_writers import AcquisitionSettings, useq_to_acquisition_settings

        settings: dict[str, Any] = {
            **useq_to_acquisition_settings(
                self.sequence,
                image_width=self.core.getImageWidth(),
                image_height=self.core.getImageHeight(),
            )
        }
        return Path(AcquisitionSettings(root_path=output, dtype="uint16", **settings).output_path)


def open_microscope(timepoints: int) -> Microscope:
    """Load Micro-Manager's demo configuration, to record two positions, two channels and five z planes per time point.

    Raises MissingExtraError if pymmcore-plus, the demo camera's device adapters or pillow are not installed.
    """
    # Only errors may interrupt the progress bar; pymmcore-plus reads the variable when it is imported.
    os.environ.setdefault("PYMM_LOG_LEVEL", "ERROR")
    require("demo", "demo", LIBRARIES)
    import pymmcore_plus
    import useq

    core = pymmcore_plus.CMMCorePlus()
    try:
        core.loadSystemConfiguration()
    except (FileNotFoundError, OSError, RuntimeError):
        raise MissingExtraError("demo", "the demo camera (mm-test-adapters)", "demo") from None
    # At this width the stripe pattern never repeats, so every frame differs and a frame at a wrong index is detected.
    # (Not with DropPixels: with 16-bit pixels the demo camera then writes out of bounds, as valgrind shows, and the
    # process crashes sooner or later.)
    core.setProperty(core.getCameraDevice(), "StripeWidth", "1.0371")
    sequence = useq.MDASequence(
        axis_order=("t", "p", "c", "z"),
        time_plan=useq.TIntervalLoops(interval=timedelta(0), loops=timepoints),
        stage_positions=(
            useq.AbsolutePosition(x=0, y=0, z=0, name="left"),
            useq.AbsolutePosition(x=600, y=0, z=0, name="right"),
        ),
        channels=(
            useq.Channel(config="DAPI", exposure=10),
            useq.Channel(config="FITC", exposure=20),
        ),
        z_plan=useq.ZRangeAround(range=8, step=2),
    )
    return Microscope(core, sequence)


def acquire(
    microscope: Microscope, output: Path, *, overwrite: bool, on_frame: Callable[[int, float], None]
) -> Acquisition:
    """Run the sequence, with `output` as for any user of ``mmc.mda.run``, and record the checksum of each frame.

    `on_frame` is called after each frame with the number of frames and the elapsed seconds.
    """
    core, frames = microscope.core, list[DeliveredFrame]()
    start = time.perf_counter()

    def record_checksum(image: np.ndarray, event: MDAEvent) -> None:
        index = {str(axis): number for axis, number in event.index.items()}
        frames.append(DeliveredFrame(index, zlib.crc32(image.tobytes())))
        on_frame(len(frames), time.perf_counter() - start)

    core.mda.events.frameReady.connect(record_checksum)
    try:
        core.mda.run(microscope.sequence, output=str(output), overwrite=overwrite)
        seconds = time.perf_counter() - start
    finally:
        core.mda.events.frameReady.disconnect(record_checksum)
        stop_notifications(core)
    return Acquisition(tuple(frames), seconds)


def stop_notifications(core: CMMCorePlus) -> None:
    """Unregister the core's callback.

    MMCore's notification thread aborts the process if Python ends while it runs (pymmcore 12.5.1).
    """
    from pymmcore_plus import CMMCorePlus

    super(CMMCorePlus, core).registerCallback(None)
