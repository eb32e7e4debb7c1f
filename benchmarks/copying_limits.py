"""The parallel limits with one copy per frame, because the producer may reuse its buffer.

In `limits.run` the frames are known in advance and each core generates its own. A writer receives one frame after the
other and has to copy each before `append` returns. The difference of the two is the cost of that guarantee; ratios are
relative to `limits`.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.limits import encoder, read_raw, write_file
from benchmarks.writer import RefusedError, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.workload import Workload

_FRAMES_IN_FLIGHT = 8


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a writer with one copy per frame and one writing or compressing thread per core."""
    if workload.limit == "one-file":
        raise RefusedError("the limit itself copies each frame")
    prefix = os.path.join(folder, "")
    if workload.limit == "codec":
        encode = encoder(workload)
        return _threaded(workload, lambda n, frame: encode(frame), None)
    return _threaded(
        workload,
        lambda n, frame: write_file(f"{prefix}{n}", frame),
        lambda n: read_raw(folder / str(n), workload),
    )


def _threaded(
    workload: Workload, work: Callable[[int, NDArray[np.uint16]], object], read: Any
) -> Writer:
    cores = os.cpu_count() or 1
    free: queue.SimpleQueue[NDArray[np.uint16]] = queue.SimpleQueue()
    full: queue.SimpleQueue[tuple[int, NDArray[np.uint16]] | None] = queue.SimpleQueue()
    for _ in range(_FRAMES_IN_FLIGHT * cores):
        free.put(np.zeros((workload.height, workload.width), np.uint16))
    appended = 0

    def run() -> None:
        while (job := full.get()) is not None:
            work(*job)
            free.put(job[1])

    threads = [threading.Thread(target=run) for _ in range(cores)]
    for thread in threads:
        thread.start()

    def append(frame: NDArray[np.uint16]) -> None:
        nonlocal appended
        buffer = free.get()
        np.copyto(buffer, frame)
        full.put((appended, buffer))
        appended += 1

    def close() -> None:
        for _ in threads:
            full.put(None)
        for thread in threads:
            thread.join()

    return Writer(append, close, read)
