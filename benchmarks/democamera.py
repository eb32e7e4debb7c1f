"""W12: Micro-Manager's demo camera streams through `mmc.mda.run(seq, output=...)`.

The suffix of the output chooses the engine, as it does for a user, so the names `direct` and
`0.3.2-tensorstore` stand for whatever `auto` takes in the two environments. `limit` is the run without output;
`limit-writing` is what the machine can do besides: each frame goes to one file in one plain write, by the thread that
took it out of the camera's buffer, so that nothing is copied and nobody waits for anybody.

A short run of the same kind goes first: what a process does once, as to import ome-types for the metadata of an
OME-TIFF, is in nobody's time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.readback import tiff_page, zarr_frame

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.competitors import Competitor
    from benchmarks.workload import Workload

NAMES = ("limit", "limit-writing", "direct", "tifffile", "0.3.2-tensorstore", "0.3.2-tifffile")
_SUFFIX = {"zarr": ".ome.zarr", "tiff": ".ome.tiff"}
_FIRST = 10  # frames of the run that goes first
_kept: list[Any] = []  # the camera's threads now and then crash while a core is torn down


def measure(workload: Workload, competitor: Competitor, folder: Path) -> dict[str, Any]:
    """Run the acquisition, and a short one before; time counts from the first frame to the return of `run`."""
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
    _kept.append(core)
    return _run(core, useq, workload, competitor, folder)


def _run(
    core: Any, useq: Any, workload: Workload, competitor: Competitor, folder: Path
) -> dict[str, Any]:
    camera = core.getCameraDevice()
    core.setProperty(camera, "PixelType", "16bit")
    core.setProperty(camera, "OnCameraCCDXSize", workload.width)
    core.setProperty(camera, "OnCameraCCDYSize", workload.height)
    core.setExposure(1)
    core.snapImage()  # the picture that FastImage then repeats; without it, it is black
    core.setProperty(camera, "FastImage", 1)
    # A camera that is faster than the writer fills its buffer; it must not overflow in anybody's run.
    core.setCircularBufferMemoryFootprint(64 + workload.frames * workload.frame_bytes * 11 // 10**7)
    core.mda.engine.use_hardware_sequencing = True
    channels = [{"config": "DAPI", "exposure": 1}]
    before, sequence = (
        useq.MDASequence(time_plan={"interval": 0, "loops": frames}, channels=channels)
        for frames in (_FIRST, workload.frames)
    )
    first = output = None
    if competitor.side != "limit":
        first, output = (folder / f"{n}{_SUFFIX[workload.format]}" for n in ("first", "out"))
    core.mda.run(before, output=first)
    times: list[float] = []
    last: list[Any] = [None]

    def arrived(image: Any, *_: object) -> None:
        times.append(time.perf_counter())
        last[0] = image

    core.mda.events.frameReady.connect(arrived)
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
        return {"refused": f"{len(times)} frames arrived of {workload.frames}"}
    seconds = end - times[0]
    wrong = [] if output is None else _wrong(workload, output, last[0])
    return {
        "seconds": seconds,
        "frames": len(times),
        "us_per_frame": seconds / (len(times) - 1) * 1e6,
        "frames_per_s": (len(times) - 1) / seconds,
        "dropped": workload.frames - len(times),
        "check": wrong[0] if wrong else "ok",
    }


def _wrong(workload: Workload, output: Path, picture: Any) -> list[str]:
    """Compare the first and the last stored frame with the picture that every frame shows."""
    said = []
    for n in (0, workload.frames - 1):
        try:
            found = _stored(workload, output, n)
        except Exception as error:  # what cannot be read is a result, not a crash
            said.append(f"WRONG: frame {n} cannot be read: {error}"[:300])
            continue
        if not picture.any() or not np.array_equal(found, picture):
            said.append(f"WRONG: frame {n} is not the camera's picture")
    return said


def _stored(workload: Workload, output: Path, n: int) -> Any:
    if workload.format == "zarr":
        return zarr_frame(output / "0", (n, 0))
    return tiff_page(output, n)
