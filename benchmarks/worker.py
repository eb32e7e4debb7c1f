"""One competitor, one workload, one fresh process: run it, check it, print one line of JSON.

Runs in the peers' environment too, so it imports nothing but numpy and the competitor.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import memory
from benchmarks.competitors import COMPETITORS, Competitor
from benchmarks.contract import RefusedError, Writer
from benchmarks.frames import POISON, Camera, number, record
from benchmarks.readback import check
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.workload import Workload

_PERCENTILES = {"p50_us": 50.0, "p99_us": 99.0, "p99_9_us": 99.9, "max_us": 100.0}


def measure(workload: Workload, competitor: Competitor, folder: Path) -> dict[str, Any]:
    """Run one competitor once; return its figures, or the reason why there are none."""
    if workload.measure == "camera":
        from benchmarks import democamera

        return democamera.measure(workload, competitor, folder)
    try:
        module = importlib.import_module(competitor.module)
    except ImportError as error:
        return {"refused": f"not installed: {error}"}
    try:
        if competitor.name == "limit" and module.parallel(workload):
            return _whole(workload, module, folder)
        return _streamed(workload, competitor, module, folder)
    except RefusedError as error:
        return {"refused": str(error)}


def _whole(workload: Workload, module: Any, folder: Path) -> dict[str, Any]:
    timing = module.run(workload, folder)
    checked = "ok" if timing.read is None else check(workload, Camera(workload), timing.read)
    return {**_speed(workload, timing.seconds), "check": checked}


def _streamed(
    workload: Workload, competitor: Competitor, module: Any, folder: Path
) -> dict[str, Any]:
    camera = Camera(workload)
    print(json.dumps({"ready": True}), flush=True)  # memory of the idle process is taken from here
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
        figures["check"] = "NOT SLOWED: it writes in a way that the slow disk does not catch"
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
        append(frames[n % ring], record(n))
        mark.fill(POISON)


def _paced(workload: Workload, camera: Camera, writer: Writer) -> dict[str, float]:
    """Append at the workload's frame rate from one buffer; only `append` itself is timed."""
    period = 1.0 / (workload.frames_per_second or 1.0)
    buffer = np.empty((workload.height, workload.width), np.uint16)
    ring = len(camera.frames)
    taken = np.zeros(workload.frames)
    behind = 0
    due = time.perf_counter() + period
    for n in range(workload.frames):
        camera.marks[n % ring].fill(number(n))
        np.copyto(buffer, camera.frames[n % ring])
        now = time.perf_counter()
        if now < due:
            time.sleep(due - now)
        elif now > due + period:
            behind += 1
            due = now
        before = time.perf_counter()
        writer.append(buffer)
        taken[n] = time.perf_counter() - before
        due += period
    figures = {name: float(np.percentile(taken, q)) * 1e6 for name, q in _PERCENTILES.items()}
    return {**figures, "frames_late": behind}


def _speed(workload: Workload, seconds: float) -> dict[str, float]:
    return {
        "seconds": seconds,
        "frames": workload.frames,
        "us_per_frame": seconds / workload.frames * 1e6,
        "mb_per_s": workload.frames * workload.frame_bytes / seconds / 1e6,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", required=True)
    parser.add_argument("--competitor", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--count", type=int, help="indices on the slowest axis")
    given = parser.parse_args(arguments)
    workload = next(w for w in WORKLOADS if w.id == given.workload)
    if given.count is not None:
        workload = workload.lengthened(given.count)
    competitor = next(c for c in COMPETITORS if c.name == given.competitor)
    print(json.dumps(measure(workload, competitor, given.folder)), flush=True)
    if workload.measure == "camera":
        os._exit(0)  # everything is closed and said; tearing the camera down may still crash


if __name__ == "__main__":
    main()
