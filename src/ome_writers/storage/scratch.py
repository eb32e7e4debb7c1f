"""The scratch engine: frames in memory, or in raw files in C order.

Without an output path frames stay in memory up to a limit, and further frames go to a temporary directory. With an
output path each image is a file ``pos_N.dat`` for ``numpy.memmap``; ``manifest.json`` contains its shape.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import LevelSpec
from ome_writers.storage.contract import EngineStats, Options, WriteFailure
from ome_writers.storage.disk import Disk
from ome_writers.storage.scratch_sinks import MemorySink, PlaneRun, RawFileSink
from ome_writers.storage.store import LocalStore
from ome_writers.storage.write_buffer import WriteBuffer

_MAX_RUN_BYTES = 2**20  # submitting more planes at once costs little compared to copying them


class ScratchEngine:
    """Keeps planes in memory, and writes those beyond a limit to files; see `storage.contract.Engine`."""

    def __init__(self, root: Path, targets: Sequence[LevelSpec], options: Options) -> None:
        self._root = root
        self._options = options
        self._store = LocalStore(root, durable=options.durable)
        self._disk = Disk(durable=options.durable)
        self._memory = [MemorySink() for _ in targets]
        self._files = [RawFileSink(root / t.key, t, self._disk) for t in targets]
        self._buffer: WriteBuffer[PlaneRun] = WriteBuffer(
            len(targets), options.buffer_bytes, "ome-writers-scratch"
        )
        self.failures = self._buffer.background.failures
        self._memory_bytes = 0  # of the planes for memory, written or not
        self._spilling = options.memory_bytes == 0
        self._closed = False
        if self._spilling:
            for file in self._files:
                file.create()

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
        buffer = self._buffer
        if index in buffer.addresses[array]:
            buffer.write_all()
        sink = self._sink(array, index, frame.nbytes)
        reserved_bytes = 0 if sink is self._memory[array] else frame.nbytes
        if reserved_bytes:
            buffer.budget.reserve(reserved_bytes)
        plane = frame if owned else frame.copy()
        with buffer.lock:
            run = buffer.open.get((array, id(sink), owned))
            if run is None:
                run = PlaneRun(array, sink, by_reference=owned)
                buffer.add(run)
            run.add(number, index, plane, reserved_bytes)
            buffer.addresses[array].add(index)
            if run.nbytes >= _MAX_RUN_BYTES:
                buffer.submit(run)

    def recover(self, number: int) -> bool:
        self._buffer.recover()
        kept = (plane for sink in self._memory for plane in sink.planes.values())
        self._memory_bytes = sum(plane.nbytes for plane in kept)
        return False

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._buffer.write_all()
        self._collect_error(self._disk.sync_all)

    def read(self, array: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        def load() -> NDArray[np.generic]:
            plane = self._memory[array].load(index)
            return self._files[array].load(index) if plane is None else plane

        in_buffer = partial(self._buffer.plane, array, index)
        return self._buffer.read(in_buffer, load, lambda: self._buffer.planes_written)

    def put(self, key: str, content: bytes) -> None:
        """Replace a metadata file; do nothing while all frames are in memory."""
        if self._spilling:
            self._store.put(key, content)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Give each file its final shape. Frames in memory stay there for views."""
        if self._closed:
            return
        self._closed = True
        self._buffer.write_all(last=True)
        if not self._options.memory_bytes:  # files beside frames in memory have no other readers
            for file, shape in zip(self._files, shapes, strict=True):
                self._collect_error(partial(file.finish, shape[:-2]))
        self._collect_error(self._disk.sync_all)
        self._buffer.background.close()
        self._disk.close()

    def stats(self) -> EngineStats:
        stats = self._buffer.stats()
        return dataclasses.replace(stats, bytes_buffered=stats.bytes_buffered + self._memory_bytes)

    def _sink(self, array: int, index: tuple[int, ...], nbytes: int) -> MemorySink | RawFileSink:
        memory = self._memory[array]
        if index in memory.planes:
            return memory
        if not self._spilling and self._memory_bytes + nbytes > self._options.memory_bytes:
            self._spill()
        if self._spilling:
            return self._files[array]
        self._memory_bytes += nbytes
        return memory

    def _spill(self) -> None:
        limit = self._options.memory_bytes
        if not self._options.spill:
            raise MemoryError(
                f"The scratch format keeps {limit:,} bytes in memory (max_memory_bytes), and spill_to_disk is False. "
                f"Increase the limit or set spill_to_disk=True."
            )
        self._spilling = True
        warnings.warn(
            f"The scratch format has reached max_memory_bytes={limit:,}; further frames go to {self._root}, which is "
            f"removed with the stream.",
            UserWarning,
            stacklevel=6,
        )

    def _collect_error(self, step: Callable[[], object]) -> None:
        try:
            step()
        except OSError as error:
            self._buffer.background.failures.append(WriteFailure(error))
