"""Measurements of a disk (with temporary files), of codecs, and of resolution levels."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers import Pyramid
from ome_writers.toolkit import COMPRESSIONS, PyramidMethod, available_cpus, downsample, sync
from ome_writers.toolkit import Codec as ZarrCodec
from ome_writers_tools.advice.camera import Camera

_WRITE_BYTES = 8 * 1024**2
_MIN_STREAM_BYTES = 64 * 1024**2  # a shorter stream measures the disk's cache
_CORE_SECONDS = 0.3  # for each measurement of a codec or of levels
_CODEC_FRAME_PX = 2048  # width and height: larger frames have the same rate
_CODEC_BYTES = 2**26


@dataclass(frozen=True)
class Codec:
    """A compression, measured on all cores at once with camera-like frames."""

    name: str
    # by one core, of uncompressed pixels, which are copied before, as in `append`
    bytes_per_second: float
    ratio: float  # uncompressed to compressed size


@dataclass(frozen=True)
class Levels:
    """The resolution levels of a frame, measured on one core."""

    method: str
    size: float  # bytes of all levels relative to those of the frame
    bytes_per_second: float  # of pixels at full resolution that one core reduces to all levels


@dataclass(frozen=True)
class DiskSpeed:
    """The measured speed of a disk."""

    path: str
    bytes_per_second: float  # of a sequential write including its fsync
    files_per_second: float  # new files of 4 KiB, each closed and renamed, like chunks
    free: int  # free bytes
    written: int  # bytes written for the measurement
    processor_seconds: float = 0.0  # of one core, for each byte written to the stream


def measure_disk(folder: Path, seconds: float = 3.0) -> DiskSpeed:
    """Measure a disk with temporary files.

    `seconds` is the duration of the sequential write without its fsync.

    Raises OSError if the directory is not writable or the disk is full.
    """
    free = shutil.disk_usage(folder).free
    # random bytes: file systems that compress or store holes would look faster with zeros
    block = os.urandom(_WRITE_BYTES)
    with tempfile.TemporaryDirectory(prefix=".ome-writers-", dir=folder) as scratch:
        processor = time.thread_time()
        written, elapsed = _write_stream(Path(scratch) / "stream", block, seconds, free // 4)
        processor = time.thread_time() - processor
        files = _files_per_second(Path(scratch), block[:4096], seconds / 3)
    return DiskSpeed(str(folder), written / elapsed, files, free, written, processor / written)


def measure_codecs(camera: Camera, compressions: Collection[str]) -> tuple[Codec, ...]:
    """Compress camera-like frames with each of `compressions` that `advise` may propose, on all cores at once."""
    height, width = min(_CODEC_FRAME_PX, camera.height), min(_CODEC_FRAME_PX, camera.width)
    frame = replace(camera, height=height, width=width).simulated_frame()
    # more than the processor's cache: the frames of a stream come from memory
    frames = np.broadcast_to(frame, (1 + _CODEC_BYTES // frame.nbytes, *frame.shape)).copy()
    cores = available_cpus()
    codecs = []
    proposed = [row.name for row in COMPRESSIONS.values() if row.proposed and row.zarr]
    with ThreadPoolExecutor(cores) as workers:  # in the main thread, Blosc uses all cores
        for name in sorted({*proposed} & {*compressions}):
            measured = list(workers.map(partial(_measure_codec, name), [frames] * cores))
            speed = sum(codec.bytes_per_second for codec in measured) / cores
            codecs.append(replace(measured[0], bytes_per_second=speed))
    return tuple(codecs)


def _measure_codec(name: str, frames: NDArray[np.generic]) -> Codec:
    codec, copy = ZarrCodec(name, frames.dtype), frames[0].copy()
    size, rounds, start = 0, 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < _CORE_SECONDS or not rounds:
        np.copyto(copy, frames[rounds % len(frames)])
        size = len(codec.encode(copy))
        rounds += 1
    nbytes = frames[0].nbytes
    return Codec(name, rounds * nbytes / elapsed, nbytes / size)


def measure_levels(camera: Camera, method: PyramidMethod) -> Levels:
    """Reduce a camera-like frame along y and x to all levels, on one core."""
    frame = camera.simulated_frame()
    nbytes, rounds, start = 0, 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < _CORE_SECONDS or not rounds:
        nbytes, level = 0, frame
        while max(level.shape) > Pyramid().smallest:
            height, width = (2 if n > 1 else 1 for n in level.shape)
            level = downsample([level], method, (height, width))
            nbytes += level.nbytes
        rounds += 1
    return Levels(method, nbytes / frame.nbytes, rounds * frame.nbytes / elapsed)


def _write_stream(path: Path, block: bytes, seconds: float, max_bytes: int) -> tuple[int, float]:
    """Return the bytes written and the elapsed seconds, fsync included."""
    written = 0
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        while written < _MIN_STREAM_BYTES or time.perf_counter() - start < seconds:
            if written + len(block) > max(max_bytes, len(block)):
                break
            written += file.write(block)
        sync(file.fileno())
    return written, time.perf_counter() - start


def _files_per_second(folder: Path, content: bytes, seconds: float) -> float:
    count = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not count:
        path = folder / f"{count}.part"
        path.write_bytes(content)
        os.replace(path, folder / str(count))
        count += 1
    return count / elapsed
