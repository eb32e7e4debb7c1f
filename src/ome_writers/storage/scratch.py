"""The scratch engine: frames in memory, or in raw files in C order.

Without an output path frames stay in memory up to a limit, and further frames go to a temporary directory. With an
output path each image is a file ``pos_N.dat`` for ``numpy.memmap``; ``manifest.json`` contains its shape.
"""

from __future__ import annotations

import math
import os
import warnings
from operator import mul
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.file_sharing import rename
from ome_writers.file_sync import sync_tree
from ome_writers.locks import new_lock
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.files import atomic_write
from ome_writers.storage.positional_io import read_fully, write_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> ScratchEngine:
    """Return an engine for `targets`; it creates files below `root` when they are needed."""
    return ScratchEngine(root, targets, options)


class ScratchEngine:
    """Stores planes by number; see `storage.contract.Engine`.

    Planes are numbered in C order, with the growing axis slowest, so that no plane moves while the array grows.
    `close` reorders the file of an array whose final shape has another C order.
    """

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._targets = tuple(targets)
        self._options = options
        self._memory: list[dict[int, NDArray[np.generic]]] = [{} for _ in targets]
        self._used = 0
        self._limit = options.memory_bytes
        self._spilling = self._limit == 0
        self._strides = [_strides(t.plan.index_shape, t.plan.growing) for t in targets]
        self._bounds = [
            tuple(math.inf if i == t.plan.growing else n for i, n in enumerate(t.plan.index_shape))
            for t in targets
        ]
        self._reorder_lock = new_lock()  # held while a file is read, or replaced by a reordered one
        self._files: set[int] = set()  # the arrays that have one
        self._handles = FileHandles(durable=False)
        self._lock = new_lock()
        self._frames = 0
        self._bytes = 0
        self._closed = False
        self.failures: list[WriteFailure] = []
        if self._spilling:
            for array in range(len(targets)):
                with self._file(array):
                    pass

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        """Store one plane; see `storage.contract.Engine.write`.

        Raises MemoryError if the memory limit is reached and `Options.spill` is False.
        """
        plane = self._plane(array, index)
        planes = self._memory[array]
        if not self._spilling and plane not in planes and self._used + frame.nbytes > self._limit:
            self._spill()
        if self._spilling and plane not in planes:
            data = np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data
            with self._file(array) as fd:
                write_at(fd, [data], plane * frame.nbytes)
        else:
            used = self._used if plane in planes else self._used + frame.nbytes
            # one statement, which KeyboardInterrupt cannot split
            planes[plane], self._used = frame if owned else frame.copy(), used
        self._frames += 1
        self._bytes += frame.nbytes

    def recover(self, number: int) -> bool:
        """Do nothing: an exception in `write` leaves a consistent state."""
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Sync all files, if `Options.durable`."""
        if self._options.durable and self._files:
            sync_tree(self._root)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        plan = self._targets[array].plan
        shape = plan.frame_shape if plan.samples == 1 else (*plan.frame_shape, plan.samples)
        with self._reorder_lock:
            in_memory = self._memory[array].get(self._plane(array, index))
            if in_memory is not None:
                copied: NDArray[np.generic] = in_memory.copy()
                return copied
            with self._lock:
                has_file = array in self._files
            inside = all(i < n for i, n in zip(index, self._bounds[array], strict=True))
            stored = self._read_file(array, index) if has_file and inside else b""
        stored = stored.ljust(plan.frame_bytes, b"\0")
        found: NDArray[np.generic] = np.frombuffer(stored, plan.dtype).reshape(shape).copy()
        return found

    def put(self, key: str, content: bytes) -> None:
        """Replace a metadata file; do nothing while all frames are in memory."""
        if self._spilling:
            atomic_write(self._root / key, content, durable=self._options.durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Give each file its final shape. Frames in memory stay there for views."""
        if self._closed:
            return
        self._closed = True
        try:
            for array, shape in enumerate(shapes):
                # a temporary file beside frames in memory has no other readers
                if array in self._files and not self._options.memory_bytes:
                    self._finish(array, shape[:-2])
            self.flush(shapes)
        except OSError as error:
            self.failures.append(WriteFailure(error))

    def stats(self) -> EngineStats:
        return EngineStats(self._frames, self._bytes, bytes_buffered=self._used)

    def __del__(self) -> None:
        if hasattr(self, "_handles"):
            self._handles.close()

    def _plane(self, array: int, index: Sequence[int]) -> int:
        return sum(map(mul, index, self._strides[array]))

    def _read_file(self, array: int, index: Sequence[int]) -> bytes:
        """Return the bytes of a plane in the file; fewer, or none, past the end of the file."""
        nbytes = self._targets[array].plan.frame_bytes
        with self._file(array) as fd:
            return read_fully(fd, nbytes, self._plane(array, index) * nbytes)

    def _finish(self, array: int, shape: tuple[int, ...]) -> None:
        """Truncate a file to an array of `shape` (without y and x), and reorder its planes if necessary."""
        nbytes = self._targets[array].plan.frame_bytes
        strides = _strides(shape, None)
        in_order = all(
            n == 1 or new == old
            for n, new, old in zip(shape, strides, self._strides[array], strict=True)
        )
        if in_order:
            with self._file(array) as fd:
                os.ftruncate(fd, math.prod(shape) * nbytes)
            self._bounds[array] = shape
            return
        path = self._root / self._targets[array].key
        reordered = path.with_name(f".{path.name}.tmp")
        try:
            with self._handles.use(reordered, create=True) as fd:
                os.ftruncate(fd, 0)
                for plane, index in enumerate(np.ndindex(*shape)):
                    stored = self._read_file(array, index)
                    if stored.strip(b"\0"):
                        write_at(fd, [stored], plane * nbytes)
                os.ftruncate(fd, math.prod(shape) * nbytes)
        finally:
            self._handles.forget(reordered)
        with self._reorder_lock:
            self._handles.forget(path)
            rename(reordered, path)
            self._strides[array], self._bounds[array] = strides, shape

    def _spill(self) -> None:
        if not self._options.spill:
            raise MemoryError(
                f"The scratch format keeps {self._limit:,} bytes in memory (max_memory_bytes), and "
                f"spill_to_disk is False. Increase the limit or set spill_to_disk=True."
            )
        self._spilling = True
        warnings.warn(
            f"The scratch format has reached max_memory_bytes={self._limit:,}; further frames go to {self._root}, "
            f"which is removed with the stream.",
            UserWarning,
            stacklevel=5,
        )

    def _file(self, array: int) -> AbstractContextManager[int]:
        """Yield the descriptor of an array's file; create the file on first use."""
        path = self._root / self._targets[array].key
        with self._lock:
            if array not in self._files:
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._handles.use(path, create=True):
                    self._files.add(array)
        return self._handles.use(path)


def _strides(shape: Sequence[int], growing: int | None) -> tuple[int, ...]:
    """Return by how much a step along each axis changes the number of a plane."""
    order = sorted(range(len(shape)), key=lambda axis: axis != growing)
    strides = [0] * len(shape)
    stride = 1
    for axis in reversed(order):
        strides[axis] = stride
        stride *= shape[axis]
    return tuple(strides)
