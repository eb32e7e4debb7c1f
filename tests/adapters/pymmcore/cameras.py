"""Test cameras and engines: the demo camera, a Python camera that records memory addresses, multi-camera engines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.experimental.unicore import CameraDevice
from pymmcore_plus.mda import MDAEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import useq
    from numpy.typing import DTypeLike
    from pymmcore_plus.core import SequencedEvent


class CountingCamera(CameraDevice):
    """Fills each frame with its number, starting at 1, and records the address of its memory.

    Attributes
    ----------
    addresses
        Memory address of each frame.
    pause
        Seconds between frames.
    """

    def __init__(self, shape: tuple[int, ...] = (32, 48), dtype: str = "uint16") -> None:
        super().__init__()
        self.addresses: list[int] = []
        self.pause = 0.0
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._exposure = 10.0

    def get_exposure(self) -> float:
        return self._exposure

    def set_exposure(self, exposure: float) -> None:
        self._exposure = exposure

    def shape(self) -> Any:
        return self._shape

    def dtype(self) -> Any:
        return self._dtype

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], np.ndarray]
    ) -> Iterator[Mapping[str, Any]]:
        taken = 0
        while n is None or taken < n:
            if self.pause:
                time.sleep(self.pause)
            frame = get_buffer(self._shape, self._dtype)
            self.addresses.append(frame.ctypes.data)
            frame[...] = len(self.addresses)
            taken += 1
            yield {"Temperature": -20 - taken}


def put_camera(core: Any, camera: CameraDevice) -> None:
    """Make a Python camera the selected one of a UniMMCore."""
    core.loadPyDevice("Camera", camera)
    core.initializeDevice("Camera")
    core.setCameraDevice("Camera")
    core.setExposure(10)
    core.setAutoShutter(False)  # there is no shutter


class TurnsEngine(MDAEngine):
    """An engine that snaps with each of some cameras in turn, however large their frames."""

    def __init__(self, core: CMMCorePlus, labels: Sequence[str]) -> None:
        super().__init__(core, use_hardware_sequencing=False)
        self.labels = labels

    def exec_single_event(self, event: useq.MDAEvent) -> Iterator[Any]:
        for number, label in enumerate(self.labels):
            self.mmcore.setCameraDevice(label)
            for image, _, meta in super().exec_single_event(event):
                own = event.model_copy(update={"index": {**event.index, "cam": number}})
                yield image, own, {**meta, "camera_device": label}
        self.mmcore.setCameraDevice(self.labels[0])


class WholeBurstsEngine(MDAEngine):
    """MDAEngine that receives all frames of a short burst.

    pymmcore-plus 0.18.1 first checks for a frame in the buffer, then whether the camera is running. A short burst that
    starts or ends between the two checks is lost, on a busy machine about once in a thousand bursts. Here a camera
    counts as running while frames are in its buffer.
    """

    def exec_sequenced_event(self, event: SequencedEvent) -> Iterator[Any]:
        core: Any = self.mmcore
        running = core.isSequenceRunning
        core.isSequenceRunning = lambda *label: running(*label) or core.getRemainingImageCount() > 0
        try:
            yield from super().exec_sequenced_event(event)
        finally:
            del core.isSequenceRunning


def small_core(width: int, height: int) -> CMMCorePlus:
    """Return a core of the demo configuration, with small and fast frames; pass it to `release_core` at the end."""
    core = CMMCorePlus()
    core.mda.set_engine(WholeBurstsEngine(core))
    core.loadSystemConfiguration()
    core.setProperty("Camera", "OnCameraCCDXSize", width)
    core.setProperty("Camera", "OnCameraCCDYSize", height)
    core.setProperty("XY", "Velocity", 1e6)
    core.setExposure(1)
    return core
