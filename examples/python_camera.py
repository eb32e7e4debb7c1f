"""Let a camera that is written in Python fill the very memory that goes to the disk: nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pymmcore_plus.experimental.unicore import CameraDevice

import ome_writers
from ome_writers_pymmcore import LendingCore, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MovingDot(CameraDevice):
    """A camera as its SDK would be wrapped: it asks for memory, fills it, and says what it knows."""

    exposure = 10.0

    def get_exposure(self) -> float:
        """Return milliseconds."""
        return self.exposure

    def set_exposure(self, exposure: float) -> None:
        """Take milliseconds."""
        self.exposure = exposure

    def shape(self) -> tuple[int, int]:
        """Return the size of a frame."""
        return (256, 256)

    def dtype(self) -> np.dtype:
        """Return the type of a pixel."""
        return np.dtype("uint16")

    def start_sequence(
        self, n: int | None, get_buffer: Callable[..., np.ndarray]
    ) -> Iterator[dict[str, Any]]:
        """Deliver `n` frames, or frames without end."""
        taken = 0
        while n is None or taken < n:
            frame = get_buffer(self.shape(), self.dtype())  # lent by the stream that writes
            frame[...] = 100
            frame[128, taken % 256] = 4000
            taken += 1
            yield {"Temperature": -20.0}


core = LendingCore()
core.loadPyDevice("Camera", MovingDot())
core.initializeDevice("Camera")
core.setCameraDevice("Camera")

print(record(core, "dot.ome.zarr", n_frames=200))

movie = ome_writers.open("dot.ome.zarr")
path = [int(movie[t][128].argmax()) for t in range(0, 200, 50)]
print(f"the dot was at x = {path}")
