"""A process that runs one competitor on one workload, verifies it and prints the result as one line of JSON.

It also runs in the peers' environment, so it imports only numpy and the competitor.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import memory
from benchmarks.camera import POISON, Camera, frame_metadata, number
from benchmarks.competitors import COMPETITORS, Competitor
from benchmarks.verification import check
from benchmarks.workloads import WORKLOADS
from benchmarks.writer import RefusedError, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.workload import Workload

_PERCENTILES = {"p50_us": 50.0, "p99_us": 99.0, "p99_9_us": 99.9, "max_us": 100.0}


def measure(workload: Workload, competitor: Competitor, folder: Path) -> dict[str, Any]:
    """Run one competitor once; return its figures, or {"refused": reason}."""
    if workload.measure == "camera":
        from benchmarks import demo_camera

        return demo_camera.measure(workload, competitor, folder)
    if workload.measure == "add-levels":
        return _add_levels(workload, competitor, folder)
    try:
        module = importlib.import_module(competitor.module)
    except ImportError as error:
        return {"refused": f"not installed: {error}"}
    try:
        if competitor.name == "limit" and module.parallel(workload):
            return _run_limit(workload, module, folder)
        return _run_writer(workload, competitor, module, folder)
    except RefusedError as error:
        return {"refused": str(error)}


def _run_limit(workload: Workload, module: Any, folder: Path) -> dict[str, Any]:
    timing = module.run(workload, folder)
    result = "ok" if timing.read is None else check(workload, Camera(workload), timing.read)
    return {**_speed(workload, timing.seconds), "check": result}


def _run_writer(
    workload: Workload, competitor: Competitor, module: Any, folder: Path
) -> dict[str, Any]:
    camera = Camera(workload)
    print(
        json.dumps({"ready": True}), flush=True
    )  # the runner measures the memory of the idle process now
    idle = memory.reset_peak()
    start = time.perf_counter()
    writer: Writer = module.open_writer(workload, folder, competitor.variant)
    created = time.perf_counter()
    figures: dict[str, Any] = {"create_s": created - start}
    if workload.frames_per_second is not None:
        figures |= _paced(workload, camera, writer)
    elif workload.metadata:
        _with_metadata(workload, camera, writer)
    else:
        _plain(workload, camera, writer)
    appended = time.perf_counter()
    writer.close()
    closed = time.perf_counter()
    figures |= _speed(workload, closed - created)
    figures["close_s"] = closed - appended
    figures["growth_mib"] = max(0, memory.peak() - idle) / memory.MIB
    figures["check"] = "ok" if writer.read is None else check(workload, camera, writer.read)
    if (rate := workload.bytes_per_second) and figures["mb_per_s"] * 1e6 > 1.2 * rate:
        figures["check"] = "NOT THROTTLED: its writes bypass throttle.c"
    return figures


def _add_levels(workload: Workload, competitor: Competitor, folder: Path) -> dict[str, Any]:
    """Add levels to a complete dataset, or read it once and write as many bytes."""
    from benchmarks import current, limits

    camera = Camera(workload)
    writer = current.open_writer(replace(workload, pyramid=()), folder, "direct")
    _plain(workload, camera, writer)
    writer.close()
    idle = memory.reset_peak()
    start = time.perf_counter()
    if competitor.name == "limit":
        limits.read_and_write(workload, folder)
    else:
        current.add_levels(folder)
    figures: dict[str, Any] = _speed(workload, time.perf_counter() - start)
    figures["growth_mib"] = max(0, memory.peak() - idle) / memory.MIB
    figures["check"] = check(workload, camera, writer.read)
    return figures


def _plain(workload: Workload, camera: Camera, writer: Writer) -> None:
    append, frames, marks = writer.append, camera.frames, camera.marks
    ring = len(frames)
    for n in range(workload.frames):
        mark = marks[n % ring]
        mark.fill(number(n))
        append(frames[n % ring])
        mark.fill(POISON)


def _with_metadata(workload: Workload, camera: Camera, writer: Writer) -> None:
    append, frames, marks = writer.append, camera.frames, camera.marks
    ring = len(frames)
    for n in range(workload.frames):
        mark = marks[n % ring]
        mark.fill(number(n))
        append(frames[n % ring], frame_metadata(n))
        mark.fill(POISON)


def _paced(workload: Workload, camera: Camera, writer: Writer) -> dict[str, float]:
    """Append at the workload's frame rate from one buffer; only `append` is timed."""
    period = 1.0 / (workload.frames_per_second or 1.0)
    buffer = np.empty((workload.height, workload.width), np.uint16)
    ring = len(camera.frames)
    durations = np.zeros(workload.frames)
    late = 0
    due = time.perf_counter() + period
    for n in range(workload.frames):
        camera.marks[n % ring].fill(number(n))
        np.copyto(buffer, camera.frames[n % ring])
        now = time.perf_counter()
        if now < due:
            time.sleep(due - now)
        elif now > due + period:
            late += 1
            due = now
        before = time.perf_counter()
        writer.append(buffer)
        durations[n] = time.perf_counter() - before
        due += period
    figures = {name: float(np.percentile(durations, q)) * 1e6 for name, q in _PERCENTILES.items()}
    return {**figures, "frames_late": late}


def _speed(workload: Workload, seconds: float) -> dict[str, float]:
    return {
        "seconds": seconds,
        "frames": workload.frames,
        "us_per_frame": seconds / workload.frames * 1e6,
        "mb_per_s": workload.frames * workload.frame_bytes / seconds / 1e6,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", required=True)
    parser.add_argument("--competitor", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--count", type=int, help="length of the slowest axis")
    options = parser.parse_args(arguments)
    workload = next(w for w in WORKLOADS if w.id == options.workload)
    if options.count is not None:
        workload = workload.lengthened(options.count)
    competitor = next(c for c in COMPETITORS if c.name == options.competitor)
    print(json.dumps(measure(workload, competitor, options.folder)), flush=True)
    if workload.measure == "camera":
        os._exit(0)  # without interpreter shutdown, which may crash in the camera's threads


if __name__ == "__main__":
    main()
