"""The parallel limits once more, keeping the promise that the producer may reuse its buffer.

`limits.run` knows its frames in advance and lets every core take its own. A writer is handed one
frame after the other and has to copy it before it returns; this is the plain program that does so.
The ratios are not about it: it says how much of a shortfall is the price of that promise.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contract import RefusedError, Writer
from benchmarks.limits import encoder, read_raw, write_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.workload import Workload

_FRAMES_IN_FLIGHT = 8


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a program of one copy a frame and a thread a core that writes or compresses."""
    if workload.limit == "one-file":
        raise RefusedError("the limit itself keeps the promise")
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
