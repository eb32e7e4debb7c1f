"""Zero-copy acquisition: a camera written in Python fills the writer's buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pymmcore_plus.experimental.unicore import CameraDevice

import ome_writers
from ome_writers_pymmcore import LendingCore, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MovingDot(CameraDevice):
    """A simulated camera, written like a wrapper of an SDK: it fills a buffer and yields metadata."""

    exposure = 10.0

    def get_exposure(self) -> float:
        """Return the exposure in milliseconds."""
        return self.exposure

    def set_exposure(self, exposure: float) -> None:
        """Set the exposure in milliseconds."""
        self.exposure = exposure

    def shape(self) -> tuple[int, int]:
        """Return height and width."""
        return (256, 256)

    def dtype(self) -> np.dtype:
        """Return the pixel type."""
        return np.dtype("uint16")

    def start_sequence(
        self, n: int | None, get_buffer: Callable[..., np.ndarray]
    ) -> Iterator[dict[str, Any]]:
        """Deliver `n` frames, or an unlimited number."""
        number = 0
        while n is None or number < n:
            frame = get_buffer(self.shape(), self.dtype())  # memory of the stream
            frame[...] = 100
            frame[128, number % 256] = 4000
            number += 1
            yield {"Temperature": -20.0}


core = LendingCore()
core.loadPyDevice("Camera", MovingDot())
core.initializeDevice("Camera")
core.setCameraDevice("Camera")

print(record(core, "dot.ome.zarr", n_frames=200))

movie = ome_writers.open("dot.ome.zarr")
path = [int(movie[t][128].argmax()) for t in range(0, 200, 50)]
print(f"the dot was at x = {path}")
