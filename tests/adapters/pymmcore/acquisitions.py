"""Runs of the demo camera, and the frames that they deliver."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ome_writers_pymmcore.notifications import end_notifications

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import useq
    from pymmcore_plus import CMMCorePlus

Frames = list[tuple[dict[str, int], "np.ndarray[Any, Any]"]]


def release_core(core: CMMCorePlus) -> None:
    """Reset a core and stop its notification thread, which must not call Python during finalization."""
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()
    core.reset()
    end_notifications(core)


def restore(core: CMMCorePlus) -> None:
    """Reset the demo camera to the frame format that the tests expect."""
    core.setProperty("Camera", "Binning", "1")
    core.setProperty("Camera", "PixelType", "16bit")
    core.clearROI()
    core.setProperty("Camera", "OnCameraCCDXSize", 48)
    core.setProperty("Camera", "OnCameraCCDYSize", 32)


@contextmanager
def delivered(core: CMMCorePlus, *, cancel_at: int | None = None) -> Iterator[Frames]:
    """Keep a copy of each frame that `frameReady` delivers, with its event's index; cancel after `cancel_at` frames."""
    frames: Frames = []

    def receive(image: np.ndarray, event: useq.MDAEvent, _meta: Any) -> None:
        frames.append((dict(event.index), image.copy()))
        if len(frames) == cancel_at:
            core.mda.cancel()

    core.mda.events.frameReady.connect(receive)
    try:
        yield frames
    finally:
        core.mda.events.frameReady.disconnect(receive)


@contextmanager
def popped(core: CMMCorePlus) -> Iterator[list[np.ndarray[Any, Any]]]:
    """Keep a copy of each frame popped from the camera's buffer."""
    frames: list[np.ndarray[Any, Any]] = []
    pop = core.popNextImageAndMD

    def popping(*args: Any, **kwargs: Any) -> Any:
        image, metadata = pop(*args, **kwargs)
        frames.append(image.copy())
        return image, metadata

    core.popNextImageAndMD = popping  # type: ignore[method-assign]  # forwards to the real method
    try:
        yield frames
    finally:
        del core.popNextImageAndMD
