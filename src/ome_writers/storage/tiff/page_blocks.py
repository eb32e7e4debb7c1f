"""Frames that lie side by side in a file, gathered in memory and written at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ome_writers.storage.memory_pool import MemoryPool
    from ome_writers.storage.tiff.geometry import Series

__all__ = ["Block"]


class Block:
    """Neighbouring pages of one array on their way to the disk.

    Attributes
    ----------
    file, page
        The file's number, and the number of the first page.
    room
        How many pages fit.
    count
        How many are there.
    frames
        The numbers of their frames.
    storing, stored
        Held while the block is written, and whether it was.
    """

    def __init__(self, file: int, page: int, series: Series, room: int) -> None:
        self.file = file
        self.page = page
        self.room = room
        self.count = 0
        self.frames: list[int] = []
        self.storing = threading.Lock()
        self.stored = False
        self._series = series
        self._buffer: NDArray[np.uint8] | None = None
        self._parts: list[tuple[slice, NDArray[np.generic]]] = []
        self._whole: NDArray[np.generic] | None = None  # all planes, where they are not in parts
        self._owned: NDArray[np.generic] | None = None
        self._memory = threading.Lock()  # held while somebody looks, or the memory goes

    def give_memory(self, buffer: NDArray[np.uint8]) -> None:
        """Have the block copy frames into `buffer`, which is as long as `room` stored planes."""
        kind = self._series.kind
        stride = len(buffer) // self.room
        self._buffer = buffer
        inner = [kind.dtype.itemsize]
        for extent in reversed(kind.shape[1:]):
            inner.insert(0, inner[0] * extent)
        compressed = self._series.compressed
        strips = [(0, kind.shape[0])] if compressed else kind.strips
        for i, (top, bottom) in enumerate(strips):
            view: NDArray[np.generic] = np.ndarray(
                (self.room, bottom - top, *kind.shape[1:]),
                kind.dtype,
                buffer,
                0 if compressed else self._series.strip_starts[i],
                (stride, *inner),
            )
            self._parts.append((slice(top, bottom), view))
        if len(strips) == 1:
            self._whole = self._parts[0][1]

    def hand_over(self, number: int, frame: NDArray[np.generic]) -> None:
        """Refer to a frame that nobody will change."""
        self._owned = frame
        self.frames.append(number)
        self.count = 1

    def add(self, number: int, frame: NDArray[np.generic]) -> bool:
        """Copy the frame of the next page; return whether the block is full."""
        slot = self.count
        if self._whole is not None:
            self._whole[slot] = frame
        else:
            for rows, view in self._parts:
                view[slot] = frame[rows]
        self.frames.append(number)
        self.count = slot + 1
        return self.count >= self.room

    def buffers(self) -> list[memoryview | bytes]:
        """Return the bytes to write, planes and gaps, in file order."""
        if self._buffer is not None:
            stride = len(self._buffer) // self.room
            return [self._buffer.data[: self.count * stride]]
        strips: list[memoryview | bytes] = []
        for strip in self.strips():
            strips += [strip, bytes(self._series.kind.gap)]
        return strips[:-1]

    def strips(self) -> list[memoryview]:
        """Return the pixels of a single page, strip by strip, as bytes."""
        frame = self._parts[0][1][0] if self._owned is None else self._owned
        flat = frame.reshape(-1).view(np.uint8).data
        row = self._series.kind.row_bytes
        return [flat[top * row : bottom * row] for top, bottom in self._series.kind.strips]

    def plane(self, page: int) -> NDArray[np.generic] | None:
        """Return a copy of the frame of a page; None when the block does not hold it."""
        slot = page - self.page
        with self._memory:
            if not 0 <= slot < self.count:
                return None
            if self._owned is not None:
                copied: NDArray[np.generic] = self._owned.copy()
                return copied
            if not self._parts:
                return None
            return np.concatenate([view[slot] for _, view in self._parts])

    def free(self, pool: MemoryPool) -> None:
        """Give the memory back."""
        with self._memory:
            buffer, owned = self._buffer, self._owned
            self._buffer = self._owned = None
            self._parts, self._whole = [], None
        if buffer is not None:
            pool.release(buffer)
        if owned is not None:
            pool.unreserve(owned.nbytes)
