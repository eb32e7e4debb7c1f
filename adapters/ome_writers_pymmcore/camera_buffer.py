"""Frames straight from the camera's buffer, while a sequence acquisition runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from pymmcore_plus import CMMCorePlus

__all__ = ["BufferFrame", "frames"]

_PAUSE = 0.0005  # seconds between looks at an empty buffer


class BufferFrame(NamedTuple):
    """A frame that was taken out of the buffer.

    Attributes
    ----------
    pixels
        (y, x), or (y, x, 3); nobody else refers to it.
    tags
        What camera and core attached to it; see `tag_facts`.
    camera
        Which of several cameras it is from, by channel.
    """

    pixels: NDArray[np.generic]
    tags: dict[str, Any]
    camera: int


def frames(
    core: CMMCorePlus, *, timeout: float | None = 20.0, cameras: Sequence[str] = ()
) -> Iterator[BufferFrame]:
    """Iterate over the frames of a sequence acquisition that runs, or has run, until no more can come.

    To end it, call ``core.stopSequenceAcquisition()`` and go on: what is in the buffer still comes.

    Parameters
    ----------
    core
        The core, with a sequence acquisition started on its camera.
    timeout
        Seconds without a frame after which to give up; None waits for a trigger as long as it takes.
    cameras
        Labels of the cameras, by channel, where several deliver into one buffer.

    Raises
    ------
    TimeoutError
        If no frame came in time. The acquisition is stopped then.
    """
    looked, waited = time.monotonic(), 0.0
    while True:
        running = core.isSequenceRunning()  # asked first: what comes meanwhile is found below
        if core.getRemainingImageCount():
            pixels, metadata = core.popNextImageAndMD()
            tags = {str(key): value for key, value in metadata.items()}
            yield BufferFrame(pixels, tags, _channel(tags, cameras))
            looked, waited = time.monotonic(), 0.0
        elif not running:
            return
        elif timeout is not None and waited > timeout:
            core.stopSequenceAcquisition()
            raise TimeoutError(
                f"No frame of {core.getCameraDevice()!r} for {timeout} s. Is it waiting for a trigger that does not "
                "come? A larger timeout waits longer, None for ever."
            )
        else:
            time.sleep(_PAUSE)
            now = time.monotonic()
            # a process that was held up has held up the camera, too
            waited += min(now - looked, (timeout or 0) / 4)
            looked = now


def _channel(tags: dict[str, Any], cameras: Sequence[str]) -> int:
    """Return which camera a frame is from: the adapter of several cameras numbers them."""
    if len(cameras) < 2:
        return 0
    for key, value in tags.items():
        if key.endswith("CameraChannelIndex"):
            return int(value)
    label = str(tags.get("Camera", ""))
    return cameras.index(label) if label in cameras else 0
