"""The scratch engine: frames in memory, or in plain files of numpy's order.

Without an output path frames stay in memory until they pass the limit; from then on they go to a temporary folder.
With one they go to a file an image, ``pos_N.dat``, which ``numpy.memmap`` opens: its shape is in ``manifest.json``.
"""

from __future__ import annotations

import math
import os
import warnings
from operator import mul
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.locks import new_lock
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.files import atomic_write, rename, sync_tree
from ome_writers.storage.positional_io import read_whole, write_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options

__all__ = ["ScratchEngine", "open_engine"]


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> ScratchEngine:
    """Return an engine for `targets`; files are made below `root` when they are needed."""
    return ScratchEngine(root, targets, options)


class ScratchEngine:
    """Keeps planes by a number; see `storage.contract.Engine`.

    That is their number in C order, a growing axis counted slowest, so that nothing moves while frames come. An array
    that has another shape in the end is laid anew by `close`, in C order.
    """

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._targets = tuple(targets)
        self._options = options
        self._memory: list[dict[int, NDArray[np.generic]]] = [{} for _ in targets]
        self._used = 0
        self._limit = options.memory_bytes
        self._spilling = self._limit == 0
        self._steps = [_steps(t.plan.index_shape, t.plan.growing) for t in targets]
        self._bounds = [
            tuple(math.inf if i == t.plan.growing else n for i, n in enumerate(t.plan.index_shape))
            for t in targets
        ]
        self._laying = new_lock()  # held while a file is read, or takes the place of another
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
        """Keep one plane; see `storage.contract.Engine.write`.

        Raises
        ------
        MemoryError
            If the limit is reached and nothing may go to disk.
        """
        plane = self._plane(array, index)
        kept = self._memory[array]
        if not self._spilling and plane not in kept and self._used + frame.nbytes > self._limit:
            self._spill()
        if self._spilling and plane not in kept:
            data = np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data
            with self._file(array) as fd:
                write_at(fd, [data], plane * frame.nbytes)
        else:
            used = self._used if plane in kept else self._used + frame.nbytes
            # one statement, which KeyboardInterrupt cannot part
            kept[plane], self._used = frame if owned else frame.copy(), used
        self._frames += 1
        self._bytes += frame.nbytes

    def recover(self, number: int) -> bool:
        """Do nothing: `write` has no step between which an exception could leave something."""
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Force files to the medium, when that was asked for."""
        if self._options.durable and self._files:
            sync_tree(self._root)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane."""
        plan = self._targets[array].plan
        shape = plan.frame_shape if plan.samples == 1 else (*plan.frame_shape, plan.samples)
        with self._laying:
            kept = self._memory[array].get(self._plane(array, index))
            if kept is not None:
                copied: NDArray[np.generic] = kept.copy()
                return copied
            with self._lock:
                known = array in self._files
            known = known and all(i < n for i, n in zip(index, self._bounds[array], strict=True))
            stored = self._stored(array, index) if known else b""
        stored = stored.ljust(plan.frame_bytes, b"\0")
        found: NDArray[np.generic] = np.frombuffer(stored, plan.dtype).reshape(shape).copy()
        return found

    def put(self, key: str, content: bytes) -> None:
        """Replace a document; without files there is nowhere to put it, and nobody to read it."""
        if self._spilling:
            atomic_write(self._root / key, content, durable=self._options.durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Give each file its final form. What is in memory stays there for views."""
        if self._closed:
            return
        self._closed = True
        try:
            for array, shape in enumerate(shapes):
                # beside frames in memory, files are for nobody else
                if array in self._files and not self._options.memory_bytes:
                    self._finish(array, shape[:-2])
            self.flush(shapes)
        except OSError as error:
            self.failures.append(WriteFailure(error))

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        return EngineStats(self._frames, self._bytes, 0)

    def __del__(self) -> None:
        if hasattr(self, "_handles"):
            self._handles.close()

    def _plane(self, array: int, index: Sequence[int]) -> int:
        """Return the number of a plane."""
        return sum(map(mul, index, self._steps[array]))

    def _stored(self, array: int, index: Sequence[int]) -> bytes:
        """Return what the file has of a plane: less than all of it behind its end."""
        nbytes = self._targets[array].plan.frame_bytes
        with self._file(array) as fd:
            return read_whole(fd, nbytes, self._plane(array, index) * nbytes)

    def _finish(self, array: int, shape: tuple[int, ...]) -> None:
        """Give a file the length of an array of `shape` (without y and x), and its planes the order of it."""
        nbytes = self._targets[array].plan.frame_bytes
        steps = _steps(shape, None)
        lies_so = all(
            n == 1 or step == now
            for n, step, now in zip(shape, steps, self._steps[array], strict=True)
        )
        if lies_so:
            with self._file(array) as fd:
                os.ftruncate(fd, math.prod(shape) * nbytes)
            self._bounds[array] = shape
            return
        path = self._root / self._targets[array].key
        anew = path.with_name(f".{path.name}.tmp")
        try:
            with self._handles.use(anew, create=True) as fd:
                os.ftruncate(fd, 0)
                for plane, index in enumerate(np.ndindex(*shape)):
                    stored = self._stored(array, index)
                    if stored.strip(b"\0"):
                        write_at(fd, [stored], plane * nbytes)
                os.ftruncate(fd, math.prod(shape) * nbytes)
        finally:
            self._handles.forget(anew)
        with self._laying:
            self._handles.forget(path)
            rename(anew, path)
            self._steps[array], self._bounds[array] = steps, shape

    def _spill(self) -> None:
        if not self._options.spill:
            raise MemoryError(
                f"The scratch format keeps {self._limit:,} bytes in memory (max_memory_bytes), and "
                f"spill_to_disk is False. Raise the limit or allow it to go to disk."
            )
        self._spilling = True
        warnings.warn(
            f"The scratch format has reached max_memory_bytes={self._limit:,}; further frames go to {self._root}, "
            f"which is removed with the stream.",
            UserWarning,
            stacklevel=5,
        )

    def _file(self, array: int) -> AbstractContextManager[int]:
        """Return what lends the descriptor of an array's file, which is made when it is needed first."""
        path = self._root / self._targets[array].key
        with self._lock:
            if array not in self._files:
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._handles.use(path, create=True):
                    self._files.add(array)
        return self._handles.use(path)


def _steps(shape: Sequence[int], growing: int | None) -> tuple[int, ...]:
    """Return how far a step along each axis moves the number of a plane."""
    order = sorted(range(len(shape)), key=lambda axis: axis != growing)
    steps = [0] * len(shape)
    step = 1
    for axis in reversed(order):
        steps[axis] = step
        step *= shape[axis]
    return tuple(steps)
