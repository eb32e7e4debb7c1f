"""What the scratch engine writes: runs of planes, to memory or to a raw file in C order."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.file_sharing import rename
from ome_writers.locks import new_lock
from ome_writers.storage.disk import Disk
from ome_writers.storage.positional_io import read_fully, write_at
from ome_writers.storage.write_buffer import Sink, Unit

Plane = NDArray[np.generic]
Index = tuple[int, ...]


class PlaneRun(Unit):
    """Planes of one array, in order of arrival; see `write_buffer.Unit`."""

    def __init__(self, array: int, sink: Sink, *, by_reference: bool) -> None:
        super().__init__(array, sink, array, by_reference=by_reference)
        self.planes: dict[Index, Plane] = {}
        self._nbytes = 0

    @property
    def key(self) -> tuple[int, int, bool]:
        return self.group, id(self.sink), self.by_reference

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def addresses(self) -> list[Index]:
        return list(self.planes)

    def add(self, number: int, index: Index, plane: Plane, reserved_bytes: int) -> None:
        """Add a plane that does not change any more."""
        self._reserved_bytes += reserved_bytes
        self._nbytes += plane.nbytes
        self.planes[index] = plane
        self.frames.append(number)

    def plane(  # pyright: ignore[reportIncompatibleMethodOverride] # each kind has its own address
        self, index: Index
    ) -> Plane | None:
        plane = self.planes.get(index)
        return None if plane is None else plane.copy()

    def _drop_planes(self) -> None:
        self.planes = {}


class MemorySink:
    """Keeps the planes of one array; see `write_buffer.Sink`."""

    def __init__(self) -> None:
        self.planes: dict[Index, Plane] = {}

    def store(self, run: PlaneRun, slots: frozenset[int] | None) -> None:
        self.planes.update(run.planes)

    def load(self, index: Index) -> Plane | None:
        """Return a copy of a plane; None if it is not in memory."""
        plane = self.planes.get(index)
        return None if plane is None else plane.copy()


class RawFileSink:
    """Writes the planes of one array to a file, which the first of them creates; see `write_buffer.Sink`.

    Planes are in C order with the growing axis slowest, so that no plane moves while the array grows. `finish` reorders
    them if the final shape has another C order.
    """

    def __init__(self, path: Path, level: LevelSpec, disk: Disk) -> None:
        self._path = path
        self._level = level
        self._disk = disk
        self._strides = _strides(level.index_shape, level.growing, level.frame_bytes)
        self._bounds: tuple[float, ...] = tuple(
            math.inf if i == level.growing else n for i, n in enumerate(level.index_shape)
        )
        self._exists = False
        # held while the file is created, read, or replaced by a reordered one
        self._lock = new_lock()

    def create(self) -> None:
        """Create the file, if it does not exist."""
        with self._lock:
            if not self._exists:
                self._disk.make_folders(self._path.parent)
                with self._disk.use(self._path, create=True):
                    self._exists = True

    def store(self, run: PlaneRun, slots: frozenset[int] | None) -> None:
        self.create()
        planes = {self._offset(index): plane for index, plane in run.planes.items()}
        offsets = sorted(planes)
        parts = [np.ascontiguousarray(planes[o]).reshape(-1).view(np.uint8).data for o in offsets]
        sizes = np.full(len(parts), self._level.frame_bytes, np.int64)
        self._disk.write(self._path, parts, np.array(offsets, np.int64), sizes)

    def load(self, index: Index) -> Plane:
        """Return a plane; zeros if it was not written."""
        level = self._level
        with self._lock:
            inside = all(i < n for i, n in zip(index, self._bounds, strict=True))
            stored = self._read(index) if self._exists and inside else b""
        shape = level.frame_shape if level.samples == 1 else (*level.frame_shape, level.samples)
        plane = np.zeros(shape, level.numpy_dtype)
        plane.reshape(-1).view(np.uint8)[: len(stored)] = np.frombuffer(stored, np.uint8)
        return plane

    def finish(self, shape: Index) -> None:
        """Truncate the file to an array of `shape` (without y and x), and reorder its planes if necessary."""
        if not self._exists:
            return
        nbytes, size = self._level.frame_bytes, math.prod(shape) * self._level.frame_bytes
        strides = _strides(shape, None, nbytes)
        pairs = zip(shape, strides, self._strides, strict=True)
        if all(n == 1 or new == old for n, new, old in pairs):
            with self._disk.use(self._path) as fd:
                os.ftruncate(fd, size)
            self._bounds = shape
            return
        reordered = self._path.with_name(f".{self._path.name}.tmp")
        try:
            with self._disk.use(reordered, create=True) as fd:
                os.ftruncate(fd, 0)
                for number, index in enumerate(np.ndindex(*shape)):
                    stored = self._read(index)
                    if stored.strip(b"\0"):
                        write_at(fd, [stored], number * nbytes)
                os.ftruncate(fd, size)
        finally:
            self._disk.forget(reordered)
        with self._lock:
            self._disk.forget(self._path)
            rename(reordered, self._path)
            self._strides, self._bounds = strides, shape

    def _read(self, index: Index) -> bytes:
        """Return the bytes of a plane; fewer, or none, past the end of the file."""
        with self._disk.use(self._path) as fd:
            return read_fully(fd, self._level.frame_bytes, self._offset(index))

    def _offset(self, index: Index) -> int:
        return sum(i * stride for i, stride in zip(index, self._strides, strict=True))


def _strides(shape: Sequence[int], growing: int | None, nbytes: int) -> tuple[int, ...]:
    """Return by how much a step along each axis changes the offset of a plane of `nbytes`."""
    order = sorted(range(len(shape)), key=lambda axis: axis != growing)
    strides, stride = [0] * len(shape), nbytes
    for axis in reversed(order):
        strides[axis] = stride
        stride *= shape[axis]
    return tuple(strides)
