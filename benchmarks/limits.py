"""The limits: plain programs that write the same bytes to the same disk, without order, index or metadata.

Resolution levels are compared with the same acquisition without levels.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.camera import POISON, Camera, number
from benchmarks.writer import RefusedError, Timing, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.workload import Workload

_BINARY = getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return the limits of one thread: one `write` or one copy per frame."""
    if workload.limit == "one-file":
        return _one_file(workload, folder)
    if workload.limit == "memcpy":
        return _memcpy(workload)
    if workload.limit == "no-levels":
        from benchmarks import current

        engine = "direct" if workload.format == "zarr" else "tifffile"
        return current.open_writer(replace(workload, pyramid=()), folder, engine)
    if workload.limit == "no-checksum":
        from benchmarks import current

        return current.open_writer(replace(workload, checksum=False), folder, "direct")
    raise RefusedError(f"{workload.id} has no limit")


def _one_file(workload: Workload, folder: Path) -> Writer:
    path = folder / "frames.raw"
    descriptor = os.open(path, _NEW)

    def append(frame: NDArray[np.uint16], record: object = None) -> None:
        os.write(descriptor, frame.data)

    def read(n: int) -> NDArray[np.uint16]:
        return read_raw(path, workload, offset=n * workload.frame_bytes)

    return Writer(append, lambda: os.close(descriptor), read)


def _memcpy(workload: Workload) -> Writer:
    buffer = np.zeros((workload.height, workload.width), np.uint16)

    def append(frame: NDArray[np.uint16]) -> None:
        np.copyto(buffer, frame)

    return Writer(append, lambda: None, None)


def run(workload: Workload, folder: Path) -> Timing:
    """Run the limits of all cores: one file per frame, or the codec alone."""
    if workload.limit == "file-per-frame":
        return _files(workload, folder)
    return Timing(_codec(workload), None)


def read_and_write(workload: Workload, folder: Path) -> None:
    """Read every file below `folder` once, and write a third as many bytes to one file."""
    frame = memoryview(bytearray(workload.frame_bytes))
    unwritten = 0
    with (folder / "levels.raw").open("xb", buffering=0) as target:
        for path in sorted(folder.rglob("*")):
            if path.is_dir() or path.name == "levels.raw":
                continue
            with path.open("rb", buffering=0) as source:
                while count := source.readinto(frame):
                    unwritten += count / 3
                    if unwritten >= len(frame):
                        unwritten -= target.write(frame)


def parallel(workload: Workload) -> bool:
    """Whether the limit is run with `run` instead of `open_writer`."""
    return workload.limit in ("file-per-frame", "codec")


def _files(workload: Workload, folder: Path) -> Timing:
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(cores + 1)
    workers = [
        context.Process(target=_files_of_one_core, args=(workload, folder, core, cores, barrier))
        for core in range(cores)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - start
    for worker in workers:
        worker.join()
    return Timing(seconds, lambda n: read_raw(folder / str(n), workload))


def _files_of_one_core(
    workload: Workload, folder: Path, core: int, cores: int, barrier: Barrier
) -> None:
    camera = Camera(workload)
    ring = len(camera.frames)
    prefix = os.path.join(folder, "")
    barrier.wait()
    for n in range(core, workload.frames, cores):
        mark = camera.marks[n % ring]
        mark.fill(number(n))
        write_file(f"{prefix}{n}", camera.frames[n % ring])
        mark.fill(POISON)
    barrier.wait()


def write_file(path: str, frame: NDArray[np.uint16]) -> None:
    """Create, write and close one file."""
    descriptor = os.open(path, _NEW)
    os.write(descriptor, frame.data)
    os.close(descriptor)


def _codec(workload: Workload) -> float:
    camera = Camera(workload)
    ring = len(camera.frames)
    encode = encoder(workload)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(encode, camera.frames[:4]))
        start = time.perf_counter()
        jobs = [pool.submit(encode, camera.frames[n % ring]) for n in range(workload.frames)]
        for job in jobs:
            job.result()
        return time.perf_counter() - start


def encoder(workload: Workload) -> Callable[[NDArray[np.uint16]], int]:
    """Return the workload's codec as a function from a frame to its compressed size."""
    from numcodecs import Blosc, Zstd, blosc

    blosc.use_threads = (
        False  # one thread per frame on every core is faster than many threads per frame
    )
    codecs: dict[str, Callable[[], Any]] = {
        "blosc-lz4": lambda: Blosc("lz4", clevel=5, shuffle=Blosc.SHUFFLE),
        "blosc-zstd": lambda: Blosc("zstd", clevel=1, shuffle=Blosc.SHUFFLE),
        "blosc-lz4-bitshuffle": lambda: Blosc("lz4", clevel=5, shuffle=Blosc.BITSHUFFLE),
        "blosc-zstd-bitshuffle": lambda: Blosc("zstd", clevel=1, shuffle=Blosc.BITSHUFFLE),
        "zstd": lambda: Zstd(level=3),
    }
    if workload.compression is None:
        raise RefusedError(f"{workload.id} has no codec")
    codec = codecs[workload.compression]()

    def encode(frame: NDArray[np.uint16]) -> int:
        return len(codec.encode(frame))

    return encode


def read_raw(path: Path, workload: Workload, offset: int = 0) -> NDArray[np.uint16]:
    """Read one frame of a file without header."""
    pixels = workload.height * workload.width
    stored = np.fromfile(path, np.uint16, count=pixels, offset=offset)
    return stored.reshape(workload.height, workload.width)
