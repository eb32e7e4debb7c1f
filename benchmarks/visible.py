"""`python -m benchmarks --visible`: V1, the time until another process can read a frame.

A process appends frames of 512 x 512 pixels at 100 per second. A second one follows the dataset with
`ome_writers.follow`, and reads each frame with zarr-python or tifffile, which it has opened at the first frame. The row
is its time, after all pixels were compared, minus the time at which `append` has returned, by the same monotonic clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 512
_BASE = (np.arange(SIZE * SIZE) * 7 & 0xFFFF).astype("uint16").reshape(SIZE, SIZE)
SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-zarr, files": ".ome.zarr", "ome-tiff": ".ome.tiff"}


def frame_of(number: int) -> NDArray[np.uint16]:
    """Return a frame that differs from all others in each pixel."""
    return _BASE + np.uint16(number * 13 & 0xFFFF)


def write(kind: str, path: Path, frames: int, fps: float, flush_interval: float) -> dict[str, Any]:
    """Append frames; return the duration of each `append` and the time at which it has returned."""
    from ome_writers import Dimension, create_stream

    shard = 500 if kind == "ome-zarr" else None
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=shard),
        Dimension(name="y", count=SIZE),
        Dimension(name="x", count=SIZE),
    ]
    returned, durations = np.zeros(frames), np.zeros(frames)
    processor_s = time.process_time()
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=flush_interval
    ) as stream:
        while not path.with_name("ready").exists():
            time.sleep(0.1)
        time.sleep(0.5)
        began = time.perf_counter()
        for number in range(frames):
            frame = frame_of(number)
            time.sleep(max(0.0, began + number / fps - time.perf_counter()))
            start = time.perf_counter()
            stream.append(frame)
            durations[number] = time.perf_counter() - start
            returned[number] = time.monotonic()
        elapsed, processor_s = time.perf_counter() - began, time.process_time() - processor_s
    return {
        "returned": returned.tolist(),
        "durations": durations.tolist(),
        "processor": processor_s / elapsed,
    }


def read(kind: str, path: Path) -> dict[str, Any]:
    """Follow and read; return the time at which each frame was compared, and the numbers of wrong ones."""
    import ome_writers

    opened: Callable[[], Any]
    reader: Callable[[int], NDArray[Any]]
    if kind == "ome-tiff":
        from tifffile import TiffFile

        opened = cache(lambda: TiffFile(path))

        def reader(number: int) -> NDArray[Any]:
            return np.asarray(opened().pages[number].asarray())

    else:
        from zarr import open_array

        opened = cache(lambda: open_array(path, path="0", mode="r"))

        def reader(number: int) -> NDArray[Any]:
            return np.asarray(opened()[number])

    seen, wrong = [], []
    path.with_name("ready").touch()
    follow_s, began = 0.0, time.process_time()
    followed = ome_writers.follow(path, timeout=60)
    while True:
        start = time.process_time()
        index, own = next(followed, ({}, None))
        follow_s += time.process_time() - start
        if own is None:
            break
        number = index["t"]
        plane = reader(number)
        if not (np.array_equal(plane, frame_of(number)) and np.array_equal(own, plane)):
            wrong.append(number)
        seen.append((number, time.monotonic()))
    per_frame = {
        "processor": (time.process_time() - began) / len(seen),
        "follow": follow_s / len(seen),
    }
    return {"seen": seen, "wrong": wrong, **per_frame}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or one of its two processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks --visible", description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--fps", type=float, default=100.0)
    parser.add_argument("--flush-interval", type=float, default=0.02)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", choices=[*SUFFIXES])
    parser.add_argument("--process", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    rate = (options.frames, options.fps, options.flush_interval)
    if options.process:
        role, kind, path = options.process
        result = write(kind, Path(path), *rate) if role == "write" else read(kind, Path(path))
        print(json.dumps(result))
        return 0
    print(
        f"V1: {options.frames} frames at {options.fps:g}/s, flush_interval={options.flush_interval}"
    )
    for kind, suffix in SUFFIXES.items():
        if options.only in (None, kind):
            with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                _measure(kind, Path(folder, f"run{suffix}"), rate)
    return 0


def _measure(kind: str, path: Path, rate: tuple[int, float, float]) -> None:
    processes = []
    for role in ("write", "read"):
        command = [sys.executable, "-m", "benchmarks.visible", "--process", role, kind, str(path)]
        command += [f"--frames={rate[0]}", f"--fps={rate[1]}", f"--flush-interval={rate[2]}"]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    written, found = (json.loads(process.communicate()[0]) for process in processes)
    numbers, times = zip(*found["seen"], strict=True)
    delays = (np.array(times) - np.array(written["returned"])[list(numbers)]) * 1e3
    late = np.percentile(delays, [50, 90, 99, 99.9, 100])
    append = np.percentile(np.array(written["durations"]) * 1e3, [50, 99, 99.9, 100])
    reader = "tifffile" if kind == "ome-tiff" else "zarr-python"
    print(
        f"{kind}, {reader}: {len(set(numbers))} of {rate[0]} frames, {len(found['wrong'])} wrong\n"
        f"  readable after append, ms: p50 {late[0]:.1f}, p90 {late[1]:.1f}, p99 {late[2]:.1f}, p99.9 {late[3]:.1f}, "
        f"max {late[4]:.1f}\n"
        f"  append, ms: p50 {append[0]:.2f}, p99 {append[1]:.2f}, p99.9 {append[2]:.2f}, max {append[3]:.2f}; "
        f"processor of the writer {100 * written['processor']:.0f} %\n"
        f"  processor time per frame of the second process, ms: {found['processor'] * 1e3:.2f}, "
        f"of which follow {found['follow'] * 1e3:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
