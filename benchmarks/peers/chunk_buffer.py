"""Assembly of frames into whole chunks or shards, as random-access libraries recommend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.workload import Workload

Region = tuple[slice, ...]


class ChunkBuffer:
    """Collects frames into chunks or shards, each in a new array that the library may keep.

    Parameters
    ----------
    workload
        With the number of indices per chunk or shard of each axis.
    write
        Called with the region in storage order (without y, x) and its pixels.
    """

    def __init__(
        self, workload: Workload, write: Callable[[Region, NDArray[np.uint16]], object]
    ) -> None:
        axes = workload.storage_axes
        self._workload = workload
        self._write = write
        self._counts = tuple(axis.count for axis in axes)
        self._spans = tuple(min(axis.count, axis.chunk * (axis.shard or 1)) for axis in axes)
        self._open: dict[tuple[int, ...], tuple[NDArray[np.uint16], list[int]]] = {}
        self._next = 0

    @property
    def single(self) -> bool:
        """Whether every chunk or shard is one frame."""
        return math.prod(self._spans) == 1

    def append(self, frame: NDArray[np.uint16]) -> None:
        """Copy one frame into its chunk or shard, and write that when it is complete."""
        index = self._workload.storage_index(self._next)
        self._next += 1
        number = tuple(i // span for i, span in zip(index, self._spans, strict=True))
        if number not in self._open:
            shape = tuple(
                min(span, count - at * span)
                for at, span, count in zip(number, self._spans, self._counts, strict=True)
            )
            block = np.empty((*shape, *frame.shape), frame.dtype)
            self._open[number] = block, [math.prod(shape)]
        block, missing = self._open[number]
        block[tuple(i % span for i, span in zip(index, self._spans, strict=True))] = frame
        missing[0] -= 1
        if missing[0] == 0:
            del self._open[number]
            region = tuple(
                slice(at * span, at * span + size)
                for at, span, size in zip(number, self._spans, block.shape[:-2], strict=True)
            )
            self._write(region, block)
