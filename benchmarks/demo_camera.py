"""W12: Micro-Manager's demo camera streams through `mmc.mda.run(seq, output=...)`.

The suffix of the output selects the engine, so the names `direct` and `0.3.2-tensorstore` stand for the `auto` engine
in the two environments. `limit` is the run without output. In `limit-writing`, the thread that pops a frame from the
camera's buffer also writes it to one file in one plain write, without copies and hand-overs.

A short run of the same kind precedes the timed one, so that work done once per process, such as importing ome-types
for the metadata of an OME-TIFF, is not timed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.verification import tiff_page, zarr_frame

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.competitors import Competitor
    from benchmarks.workload import Workload

NAMES = ("limit", "limit-writing", "direct", "tifffile", "0.3.2-tensorstore", "0.3.2-tifffile")
_SUFFIX = {"zarr": ".ome.zarr", "tiff": ".ome.tiff"}
_FIRST = 10  # frames of the run that goes first
_cores: list[
    Any
] = []  # never released: the camera's threads occasionally crash when a core is deleted


def measure(workload: Workload, competitor: Competitor, folder: Path) -> dict[str, Any]:
    """Run the acquisition after a short one; the time is from the first frame to the return of `run`."""
    try:
        import useq
        from pymmcore_plus import CMMCorePlus
    except ImportError as error:
        return {"refused": f"not installed: {error}"}
    core = CMMCorePlus()
    try:
        core.loadSystemConfiguration()
    except (OSError, RuntimeError) as error:
        return {"refused": f"no demo camera: {error}"}
    _cores.append(core)
    return _run(core, useq, workload, competitor, folder)


def _run(
    core: Any, useq: Any, workload: Workload, competitor: Competitor, folder: Path
) -> dict[str, Any]:
    camera = core.getCameraDevice()
    core.setProperty(camera, "PixelType", "16bit")
    core.setProperty(camera, "OnCameraCCDXSize", workload.width)
    core.setProperty(camera, "OnCameraCCDYSize", workload.height)
    core.setExposure(1)
    core.snapImage()  # the image that FastImage repeats; without it, it is black
    core.setProperty(camera, "FastImage", 1)
    # Large enough that it never overflows, even if the camera is much faster than the writer.
    core.setCircularBufferMemoryFootprint(64 + workload.frames * workload.frame_bytes * 11 // 10**7)
    core.mda.engine.use_hardware_sequencing = True
    channels = [{"config": "DAPI", "exposure": 1}]
    warm_up, sequence = (
        useq.MDASequence(time_plan={"interval": 0, "loops": frames}, channels=channels)
        for frames in (_FIRST, workload.frames)
    )
    first = output = None
    if competitor.side != "limit":
        first, output = (folder / f"{n}{_SUFFIX[workload.format]}" for n in ("first", "out"))
    core.mda.run(warm_up, output=first)
    times: list[float] = []
    last: list[Any] = [None]

    def on_frame(image: Any, *_: object) -> None:
        times.append(time.perf_counter())
        last[0] = image

    core.mda.events.frameReady.connect(on_frame)
    if competitor.name == "limit-writing":
        with (folder / "frames.raw").open("wb", buffering=0) as file:

            def write(image: Any, *_: object) -> None:
                file.write(image)

            core.mda.events.frameReady.connect(write)
            core.mda.run(sequence)
    else:
        core.mda.run(sequence, output=output)
    end = time.perf_counter()
    if len(times) < 2:
        return {"refused": f"{len(times)} of {workload.frames} frames arrived"}
    seconds = end - times[0]
    failures = [] if output is None else _compare(workload, output, last[0])
    return {
        "seconds": seconds,
        "frames": len(times),
        "us_per_frame": seconds / (len(times) - 1) * 1e6,
        "frames_per_s": (len(times) - 1) / seconds,
        "dropped": workload.frames - len(times),
        "check": failures[0] if failures else "ok",
    }


def _compare(workload: Workload, output: Path, image: Any) -> list[str]:
    """Compare the first and the last stored frame with the image that every frame contains."""
    failures = []
    for n in (0, workload.frames - 1):
        try:
            found = _stored(workload, output, n)
        except Exception as error:  # an unreadable dataset is a result, not a crash
            failures.append(f"WRONG: frame {n} cannot be read: {error}"[:300])
            continue
        if not image.any() or not np.array_equal(found, image):
            failures.append(f"WRONG: frame {n} differs from the camera's image")
    return failures


def _stored(workload: Workload, output: Path, n: int) -> Any:
    if workload.format == "zarr":
        return zarr_frame(output / "0", (n, 0))
    return tiff_page(output, n)
