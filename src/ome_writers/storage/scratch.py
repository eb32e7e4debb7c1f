"""The scratch engine: frames in memory, or in plain files of numpy's order.

Without an output path frames stay in memory until they pass the limit; from then on they go to a temporary folder.
With one they go to a file an image, ``pos_N.dat``, which ``numpy.memmap`` opens: its shape is in ``manifest.json``.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.contract import EngineStats, Failure
from ome_writers.storage.files import replace, sync_tree
from ome_writers.storage.handles import Handles
from ome_writers.storage.positional import read_at, write_at

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
    """Keeps planes by their number in C order; see `storage.contract.Engine`.

    An array grows by its first axis only (the one that is unbounded), so that nothing that is there ever moves.
    """

    def __init__(self, root: Path, targets: Sequence[ArrayTarget], options: Options) -> None:
        self._root = root
        self._targets = tuple(targets)
        self._options = options
        self._memory: list[dict[int, NDArray[np.generic]]] = [{} for _ in targets]
        self._used = 0
        self._spilling = options.memory_bytes == 0
        self._files: set[int] = set()  # the arrays that have one
        self._handles = Handles(durable=False)
        self._lock = threading.Lock()
        self._frames = 0
        self._bytes = 0
        self._closed = False
        self.failures: list[Failure] = []
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
            self._used += 0 if plane in kept else frame.nbytes
            kept[plane] = frame if owned else frame.copy()
        self._frames += 1
        self._bytes += frame.nbytes

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Force files to the medium, when that was asked for."""
        if self._options.durable and self._files:
            sync_tree(self._root)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return one plane."""
        plan = self._targets[array].plan
        shape = plan.frame_shape if plan.samples == 1 else (*plan.frame_shape, plan.samples)
        plane = self._plane(array, index)
        kept = self._memory[array].get(plane)
        if kept is not None:
            copied: NDArray[np.generic] = kept.copy()
            return copied
        with self._lock:
            known = array in self._files
        stored = b""
        if known:
            with self._file(array) as fd:
                stored = read_at(fd, plan.frame_bytes, plane * plan.frame_bytes)
        stored = stored.ljust(plan.frame_bytes, b"\0")
        found: NDArray[np.generic] = np.frombuffer(stored, plan.dtype).reshape(shape).copy()
        return found

    def put(self, key: str, content: bytes) -> None:
        """Replace a document; without files there is nowhere to put it, and nobody to read it."""
        if self._spilling:
            replace(self._root / key, content, durable=self._options.durable)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Give each file its full length. What is in memory stays there for views."""
        if self._closed:
            return
        self._closed = True
        try:
            for array, (target, shape) in enumerate(zip(self._targets, shapes, strict=True)):
                if array in self._files:
                    planes = int(np.prod(shape[:-2], dtype=np.int64))
                    with self._file(array) as fd:
                        os.ftruncate(fd, planes * target.plan.frame_bytes)
            self.flush(shapes)
        except OSError as error:
            self.failures.append(Failure(error))

    def stats(self) -> EngineStats:
        """Return what was done so far."""
        return EngineStats(self._frames, self._bytes, 0)

    def __del__(self) -> None:
        if hasattr(self, "_handles"):
            self._handles.close()

    @property
    def _limit(self) -> int:
        return self._options.memory_bytes or 0

    def _plane(self, array: int, index: tuple[int, ...]) -> int:
        """Return the number of a plane in C order; the growing axis is the slowest."""
        plan = self._targets[array].plan
        growing = plan.growing
        order = range(len(index))
        if growing is not None:
            order = [growing, *(i for i in order if i != growing)]  # type: ignore[assignment]  # a list of the same
        number = 0
        for i in order:
            number = number * plan.index_shape[i] + index[i] if i != growing else index[i]
        return number

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
