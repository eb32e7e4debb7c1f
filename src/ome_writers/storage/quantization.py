"""Quantization of pixels by the noise of the camera, with a table of one value per value. Imported when it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.errors import UnsupportedError
from ome_writers.routing import Address
from ome_writers.settings import CameraNoise
from ome_writers.storage.contract import Engine
from ome_writers.storage.staged_engine import StagedEngine
from ome_writers.storage.stages import Plane

_MAX_ITEM_BYTES = 2  # of the dtype: the table has an entry per value


def quantization_table(noise: CameraNoise, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return the stored value of each value of an unsigned dtype.

    Neighbouring values form intervals of `step` standard deviations, and become the value in the middle. Every interval
    has an odd number of values, so that the middle is one of them and the mean of many frames does not change. The
    largest value stays, so that saturated pixels are still recognized.
    """
    if dtype.kind != "u" or dtype.itemsize > _MAX_ITEM_BYTES:
        raise UnsupportedError(
            f"quantize supports frames of uint8 and uint16, got {dtype.name}. Convert the frames, or set quantize=None."
        )
    count = 2 ** (8 * dtype.itemsize)
    read_variance = (noise.gain * noise.read_noise) ** 2
    table = np.arange(count)
    first, remainder = 0, 0.0
    while first < count:
        electrons = max(0.0, noise.gain * (first - noise.offset))
        wanted = noise.step * math.sqrt(electrons + read_variance) + remainder
        size = max(1, 2 * round((wanted - 1) / 2) + 1)
        remainder = max(-1.0, min(1.0, wanted - size))
        table[first : first + size] = first + size // 2
        first += size
    table[-1] = count - 1
    quantized: NDArray[np.generic] = np.minimum(table, count - 1).astype(dtype)
    return quantized


class Quantization:
    """Yields each plane with quantized pixels; see `Stage`."""

    memory_bytes = 0

    def __init__(self, table: NDArray[np.generic]) -> None:
        self._table = table
        self._end: float = math.inf  # number of the array after those of the camera

    def __call__(self, address: Address, plane: Plane) -> Iterator[tuple[Address, Plane]]:
        if address[0] < self._end:
            plane = self._table[cast("NDArray[np.integer[Any]]", plane)]
        yield address, plane

    def add_arrays(self, first: int, _targets: Sequence[LevelSpec]) -> None:
        """Pass on the planes of arrays that are added to the dataset: they are not a camera's."""
        self._end = min(self._end, first)


def open_quantized(engine: Engine, noise: CameraNoise, dtype: np.dtype[np.generic]) -> Engine:
    """Return an engine that quantizes planes and passes them on."""
    return StagedEngine(engine, Quantization(quantization_table(noise, dtype)))
