"""A real acquisition from Micro-Manager's demo camera, as any user of pymmcore-plus runs it."""

from __future__ import annotations

import os
import time
import zlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.cli.command import MissingExtraError, require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from pymmcore_plus import CMMCorePlus
    from useq import MDAEvent, MDASequence


LIBRARIES = {"pymmcore_plus": "pymmcore-plus", "useq": "useq-schema", "PIL": "pillow"}


@dataclass(frozen=True)
class Delivered:
    """One frame as the camera delivered it.

    Attributes
    ----------
    index
        Where the sequence says that it belongs: axis name (t, p, c, z) to number.
    checksum
        CRC-32 of its pixels in C order.
    """

    index: Mapping[str, int]
    checksum: int


@dataclass(frozen=True)
class Acquisition:
    """What the camera delivered, in order, and how long that took (seconds)."""

    frames: tuple[Delivered, ...]
    seconds: float


@dataclass(frozen=True)
class Microscope:
    """The demo microscope and the sequence that it is going to run."""

    core: CMMCorePlus
    sequence: MDASequence

    def output_path(self, output: Path) -> Path:
        """Return where ``output`` is going to lie: a set of TIFF files gets a folder."""
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
    """Load Micro-Manager's demo configuration.

    Parameters
    ----------
    timepoints
        How often the two positions, two channels and five planes are visited.

    Raises
    ------
    MissingExtraError
        pymmcore-plus, the adapters that hold the demo camera, or pillow are not installed.
    """
    # Only what went wrong may disturb the progress bar; read when pymmcore-plus is imported.
    os.environ.setdefault("PYMM_LOG_LEVEL", "ERROR")
    require("demo", "demo", LIBRARIES)
    import pymmcore_plus
    import useq

    core = pymmcore_plus.CMMCorePlus()
    try:
        core.loadSystemConfiguration()
    except (FileNotFoundError, OSError, RuntimeError):
        raise MissingExtraError("demo", "the demo camera (mm-test-adapters)", "demo") from None
    # Of this width, stripes never come back to where they were: every frame is different, and one that is
    # written to another's place cannot pass for it. (Not by DropPixels: with 16-bit pixels the demo camera then
    # writes beyond its own memory, which valgrind shows, and the process crashes sooner or later.)
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
    """Run the sequence and remember what the camera delivered.

    Parameters
    ----------
    microscope
        The loaded demo microscope.
    output
        Handed to ``mmc.mda.run`` as it is.
    overwrite
        Replace what lies there, if this library wrote it.
    on_frame
        Called after each frame with the frames so far and the seconds so far.
    """
    core, frames = microscope.core, list[Delivered]()
    start = time.perf_counter()

    def remember(image: np.ndarray, event: MDAEvent) -> None:
        index = {str(axis): number for axis, number in event.index.items()}
        frames.append(Delivered(index, zlib.crc32(image.tobytes())))
        on_frame(len(frames), time.perf_counter() - start)

    core.mda.events.frameReady.connect(remember)
    try:
        core.mda.run(microscope.sequence, output=str(output), overwrite=overwrite)
        seconds = time.perf_counter() - start
    finally:
        core.mda.events.frameReady.disconnect(remember)
        _end_notifications(core)
    return Acquisition(tuple(frames), seconds)


def _end_notifications(core: CMMCorePlus) -> None:
    """Have a core that is done with tell nobody of changes any more.

    MMCore's thread that tells of them aborts the process where Python ends meanwhile (pymmcore 12.5.1).
    """
    from pymmcore_plus import CMMCorePlus

    super(CMMCorePlus, core).registerCallback(None)
