"""Iterate over the frames of a running sequence acquisition, popped from MMCore's circular buffer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

_POLL_INTERVAL_S = 0.0005


class BufferFrame(NamedTuple):
    """A frame popped from the buffer.

    Attributes
    ----------
    pixels
        (y, x), or (y, x, 3) for RGB; the caller owns the array.
    tags
        Metadata that camera and core attached to the frame; see `tag_metadata`.
    camera
        Channel index of the camera; 0 if there is only one.
    """

    pixels: NDArray[np.generic]
    tags: dict[str, Any]
    camera: int


def frames(
    core: CMMCorePlus, *, timeout: float | None = 20.0, cameras: Sequence[str] = ()
) -> Iterator[BufferFrame]:
    """Iterate over the frames of a sequence acquisition until it has stopped and the buffer is empty.

    To end early, call ``core.stopSequenceAcquisition()`` and continue to iterate: the frames that are already in the
    buffer are still returned.

    Parameters
    ----------
    core
        The core, with a sequence acquisition started on its camera.
    timeout
        Maximum time to wait for a frame, in seconds; None waits for a trigger without a limit.
    cameras
        Labels of the cameras, in the order of their channels, if several deliver into one buffer.

    Raises
    ------
    TimeoutError
        If no frame was delivered within the timeout. The sequence acquisition is stopped.
    """
    polled, waited = time.monotonic(), 0.0
    while True:
        # Ask before looking into the buffer, so that the last frames of a camera that stops now are found.
        running = core.isSequenceRunning()
        if core.getRemainingImageCount():
            pixels, metadata = core.popNextImageAndMD()
            tags = {str(key): value for key, value in metadata.items()}
            yield BufferFrame(pixels, tags, _camera_index(tags, cameras))
            polled, waited = time.monotonic(), 0.0
        elif not running:
            return
        elif timeout is not None and waited > timeout:
            core.stopSequenceAcquisition()
            raise TimeoutError(
                f"{core.getCameraDevice()!r}: no frame for {timeout} s. Check the trigger, or pass a larger timeout "
                "(None waits without a limit)."
            )
        else:
            time.sleep(_POLL_INTERVAL_S)
            now = time.monotonic()
            # Count at most a quarter of the timeout per poll: if this process was suspended, so was the camera.
            waited += min(now - polled, (timeout or 0) / 4)
            polled = now


def _camera_index(tags: dict[str, Any], cameras: Sequence[str]) -> int:
    if len(cameras) < 2:
        return 0
    for key, value in tags.items():
        if key.endswith("CameraChannelIndex"):  # set by Micro-Manager's Multi Camera adapter
            return int(value)
    label = str(tags.get("Camera", ""))
    return cameras.index(label) if label in cameras else 0
