"""`python -m benchmarks --writer-process`: X1 to X3, ``writer="process"`` beside the default writer.

X1: W2, W4-sharded and W9, and the limit of W2: a program that copies the frames into 256 MiB of shared memory,
and another one that writes them from there, without this library (Linux). X2: W1. X3: a thread appends 100
frames/s of 2048x2048 while the main thread runs Python code for 80 % of each frame period, as the GUI of a
microscope does; a frame is late if its `append` begins more than a period after it was due. Each run
is in a new process, the writers take turns in random order, and medians are printed.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.camera import POISON, Camera, number
from benchmarks.workload import Workload

WRITERS = ("thread", "process")
_SLOTS, _FRAMES_PER_FILE = 32, 25  # of the limit, for frames of 8 MiB
ROWS = {"X1": ("W2", "W4-sharded", "W9"), "X2": ("W1",), "X3": ("X3",)}
_PERIOD_S, _BUSY = 0.01, 0.8


def measure_limit(workload: Workload, folder: Path) -> dict[str, float]:
    """Copy frames into shared memory, from which a forked process writes them; return its figures."""
    camera, nbytes = Camera(workload), workload.frame_bytes
    memory = mmap.mmap(-1, _SLOTS * nbytes + mmap.PAGESIZE)
    slots = np.frombuffer(memory, np.uint8, _SLOTS * nbytes).reshape(_SLOTS, nbytes)
    slots[:, :: mmap.PAGESIZE] = 0
    copied, written = 0, 1  # in the words after the frames
    words = np.frombuffer(memory, np.uint64, 2, _SLOTS * nbytes)
    writer = os.fork()
    if writer == 0:
        for n in range(workload.frames):
            while words[copied] <= n:
                time.sleep(0.0003)
            with (folder / str(n // _FRAMES_PER_FILE)).open("ab", buffering=0) as file:
                file.write(slots[n % _SLOTS].data)
            words[written] = n + 1
        os._exit(0)
    durations = np.zeros(workload.frames)
    began = time.perf_counter()
    for n in range(workload.frames):
        before = time.perf_counter()
        while n - int(words[written]) >= _SLOTS:
            time.sleep(0.0003)
        slots[n % _SLOTS] = camera.frames[n % len(camera.frames)].reshape(-1).view(np.uint8)
        words[copied] = n + 1
        durations[n] = time.perf_counter() - before
    os.waitpid(writer, 0)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "p99_9_us": float(np.percentile(durations, 99.9)) * 1e6}


def measure(workload_id: str, kind: Any, folder: Path, count: int | None) -> dict[str, float]:
    """Run a workload once; return its figures."""
    import ome_writers
    from benchmarks.current import acquisition
    from benchmarks.workloads import WORKLOADS

    name = "W2" if workload_id == "X3" else workload_id
    workload = next(each for each in WORKLOADS if each.id == name)
    if count is not None:
        workload = workload.lengthened(count)
    if kind == "limit":
        return measure_limit(workload, folder)
    camera = Camera(workload)
    backend = "tifffile" if workload.format == "tiff" else "direct"
    stream = ome_writers.create_stream(acquisition(workload, folder, backend), writer=kind)
    if workload_id == "X3":
        late = _beside_python_code(camera, workload.frames, stream.append)
        stream.close()
        return {"late": late, "frames": workload.frames}
    durations = np.zeros(workload.frames)
    began = time.perf_counter()
    for n in range(workload.frames):
        ring = n % len(camera.frames)
        camera.marks[ring].fill(number(n))
        before = time.perf_counter()
        stream.append(camera.frames[ring])
        durations[n] = time.perf_counter() - before
        camera.marks[ring].fill(POISON)
    stream.close()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "p99_9_us": float(np.percentile(durations, 99.9)) * 1e6}


def _beside_python_code(camera: Camera, frames: int, append: Any) -> int:
    """Append frames in a thread while this thread is busy; return how many were late."""
    late = 0

    def acquire() -> None:
        nonlocal late
        due = time.perf_counter() + _PERIOD_S
        for n in range(frames):
            time.sleep(max(0.0, due - time.perf_counter()))
            late += time.perf_counter() > due + _PERIOD_S
            append(camera.frames[n % len(camera.frames)])
            due += _PERIOD_S

    thread = threading.Thread(target=acquire)
    thread.start()
    while thread.is_alive():
        end = time.perf_counter() + _BUSY * _PERIOD_S
        while time.perf_counter() < end:
            sum(range(50))
        time.sleep((1 - _BUSY) * _PERIOD_S)
    return late


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row per workload."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks --writer-process", description=__doc__
    )
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="X1 X2 X3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, help="length of the slowest axis, for a short run")
    parser.add_argument("--folder", type=Path, help="default: a temporary folder")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - {*ROWS}:
        parser.error(f"unknown row {min(unknown)!r}; choose from {', '.join(ROWS)}")
    if options.one:
        figures = measure(*options.one, options.folder, options.count)
        print(json.dumps(figures))
        return 0
    print("| row | workload | thread | process | process / thread | p99.9 of append, us |")
    print("|---|---|---|---|---|---|")
    for row, workload in ((name, each) for name in options.rows for each in ROWS[name]):
        kinds = (*WRITERS, "limit") if workload == "W2" and hasattr(os, "fork") else WRITERS
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            # in random order: each run finds the free memory of a virtual machine as the one before has left it
            for kind in random.sample(kinds, len(kinds)):
                found[kind].append(_run(workload, kind, options.folder, options.count))
        figure = "late" if row == "X3" else "seconds"
        thread, process = (_median(found[kind], figure) for kind in WRITERS)
        if row == "X3":
            of = f" of {found['thread'][0]['frames']:.0f} late"
            print(f"| {row} | {workload} | {thread:.0f}{of} | {process:.0f}{of} | | |", flush=True)
            continue
        tails = " / ".join(f"{_median(found[kind], 'p99_9_us'):.0f}" for kind in WRITERS)
        ratio = f"{process / thread:.2f} x its time"
        print(
            f"| {row} | {workload} | {thread:.3f} s | {process:.3f} s | {ratio} | {tails} |",
            flush=True,
        )
        if "limit" in found:
            limit = _median(found["limit"], "seconds")
            tail = _median(found["limit"], "p99_9_us")
            print(
                f"| {row} | limit of two processes | | {limit:.3f} s | {limit / thread:.2f} x | {tail:.0f} |",
                flush=True,
            )
    return 0


def _run(workload: str, kind: str, folder: Path | None, count: int | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "benchmarks.writer_process", "--one", workload, kind]
        command += ["--folder", scratch, *([] if count is None else ["--count", str(count)])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _median(runs: list[dict[str, float]], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


if __name__ == "__main__":
    sys.exit(main())
