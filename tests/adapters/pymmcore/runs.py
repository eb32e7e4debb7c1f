"""Real runs of the demo camera, and what came of them."""

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


def let_go(core: CMMCorePlus) -> None:
    """End a core that is done with: no thread of it is left that could call Python while that ends."""
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()
    core.reset()
    end_notifications(core)


def restore(core: CMMCorePlus) -> None:
    """Have the demo camera deliver the frames that the tests expect, whatever was set."""
    core.setProperty("Camera", "Binning", "1")
    core.setProperty("Camera", "PixelType", "16bit")
    core.clearROI()
    core.setProperty("Camera", "OnCameraCCDXSize", 48)
    core.setProperty("Camera", "OnCameraCCDYSize", 32)


@contextmanager
def delivered(core: CMMCorePlus, *, cancel_at: int | None = None) -> Iterator[Frames]:
    """Keep a copy of each frame that `frameReady` delivers, with its event's index; cancel when `cancel_at` came."""
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
    """Keep a copy of each frame that is taken out of the camera's buffer."""
    frames: list[np.ndarray[Any, Any]] = []
    pop = core.popNextImageAndMD

    def popping(*args: Any, **kwargs: Any) -> Any:
        image, metadata = pop(*args, **kwargs)
        frames.append(image.copy())
        return image, metadata

    core.popNextImageAndMD = popping  # type: ignore[method-assign]  # a real frame, seen on its way
    try:
        yield frames
    finally:
        del core.popNextImageAndMD
