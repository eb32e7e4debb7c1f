"""The program of `test_writer_process`: appends frames with ``writer="process"``, and logs each accepted one.

``process_writer.py CASE OUTPUT FRAMES PERIOD_S [END]``; `END` is what it does instead of closing the stream.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from ome_writers import (
    AcquisitionSettings,
    Camera,
    DerivedStream,
    Dimension,
    OMEStream,
    StreamClosedError,
    create_stream,
)

HEIGHT, WIDTH, DEPTH = 48, 64, 4
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "zarr": ("run.ome.zarr", {}),
    "zarr shards": ("run.ome.zarr", {"shard": 8}),
    "zarr blosc": ("run.ome.zarr", {"compression": "blosc-zstd"}),
    "zarr shards zstd": ("run.ome.zarr", {"shard": 8, "compression": "zstd"}),
    "zarr cameras": ("run.ome.zarr", {"cameras": True}),
    "zarr levels": ("run.ome.zarr", {"pyramid": {"levels": 2}}),
    "zarr unbounded": ("run.ome.zarr", {"count": None}),
    "zarr derived": ("run.ome.zarr", {"derived": True}),
    "zarr levels derived": ("run.ome.zarr", {"derived": True, "pyramid": {"levels": 1}}),
    "tensorstore": ("run.ome.zarr", {"format": "tensorstore"}),
    "tensorstore zstd": ("run.ome.zarr", {"format": "tensorstore", "compression": "zstd"}),
    "zarr-python": ("run.ome.zarr", {"format": "zarr-python"}),
    "zarrs-python": ("run.ome.zarr", {"format": "zarrs-python"}),
    "tiff": ("run.ome.tiff", {}),
    "tiff deflate": ("run.ome.tiff", {"compression": "deflate"}),
    "tiff zstd": ("run.ome.tiff", {"compression": "zstd"}),
    "tiff unbounded": ("run.ome.tiff", {"count": None}),
    "tiff derived": ("run.ome.tiff", {"derived": True}),
    "tiff positions": ("run.ome.tiff", {"positions": 2}),
}


def settings(case: str, folder: str, frames: int) -> AcquisitionSettings:
    """Return the settings of a case for so many frames."""
    name, options = CASES[case]
    options = {**options}
    cameras, positions = options.pop("cameras", False), options.pop("positions", 1)
    depth = DEPTH if options.pop("derived", False) else 1
    count = options.pop("count", frames // (2 if cameras else 1) // positions // depth)
    shard = options.pop("shard", None)
    dimensions = [
        Dimension(name="t", count=count, chunk_size=1, shard_size_chunks=shard),
        Dimension(name="y", count=HEIGHT, shard_size_chunks=1 if shard else None),
        Dimension(name="x", count=WIDTH, shard_size_chunks=1 if shard else None),
    ]
    if depth > 1:
        dimensions.insert(1, Dimension(name="z", count=depth))
    if positions > 1:
        dimensions.insert(0, Dimension(name="p", type="position", count=positions))
    if cameras:
        pair = [
            Camera(name="a", height=HEIGHT, width=WIDTH, dtype="uint16"),
            Camera(name="b", height=HEIGHT // 2, width=WIDTH * 2, dtype="uint8"),
        ]
        dimensions.insert(-2, Dimension(name="cam", type="other", coords=pair))
    return AcquisitionSettings(
        root_path=os.path.join(folder, name),
        dimensions=tuple(dimensions),
        dtype="uint16",
        flush_interval=0.5,
        buffer_bytes=400 * HEIGHT * WIDTH,
        **options,
    )


def frame(number: int, case: str) -> np.ndarray[Any, Any]:
    """Return the pixels of frame `number` in the order of `append`."""
    random = np.random.default_rng(number)
    if "cameras" in case and number % 2:
        return random.integers(0, 255, (HEIGHT // 2, WIDTH * 2), "uint8")
    return random.integers(0, 60000, (HEIGHT, WIDTH), "uint16")


def label(number: int, case: str) -> np.ndarray[Any, Any]:
    """Return labels of frame `number`."""
    return (frame(number, case) > 30000) * np.uint32(100_000 + number)


def derive(stream: OMEStream, case: str) -> DerivedStream | None:
    """Add labels, and images of other shapes and dtypes, to a stream of a case with derived images."""
    if "derived" not in case:
        return None
    stream.project("max")
    stream.project("mean")
    return stream.derive("cells")


def main(case: str, folder: str, frames: int, period_s: float, end: str = "close") -> None:
    """Append frames; then end as `end` says."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGQUIT"):  # a background process of a shell may ignore them
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    stream = create_stream(settings(case, folder, frames), writer="process")
    labels = derive(stream, case)
    process = stream._writer.process
    os.write(1, b"%d\n" % process.pid)
    for number in range(frames):
        stream.append(frame(number, case), frame_metadata={"number": number})
        if labels is not None:
            labels.append(label(number, case))
        flushed = min(process.ring.unflushed_frames(), default=number + 1)
        os.write(1, b"%d %d\n" % (number, flushed))
        time.sleep(period_s)
        if number == 20 and end != "close":
            leave(end, stream)
    stream.close()


def leave(end: str, stream: OMEStream) -> None:
    """End the program, wait to be ended, or start processes that end."""
    if end == "forked":
        fork_children(stream)
        return
    if end in ("spawn", "spawned"):
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=time.sleep, args=(0 if end == "spawned" else 15,))
        child.start()
        if end == "spawned":
            child.join()
            return
        os._exit(0)
    if end == "exit":
        sys.exit(3)
    if end == "exception":
        raise RuntimeError("of the program")
    if end == "abort":
        os.abort()
    if end == "_exit":
        os._exit(4)
    if end == "fork" and os.fork():
        os._exit(0)  # the child that it has forked goes on
    time.sleep(15)


def fork_children(stream: OMEStream) -> None:
    """Fork processes that end in different ways, and check that none of them can append."""
    for end in (sys.exit, os._exit, stream.close):
        child = os.fork()
        if child:
            code = os.waitpid(child, 0)[1]
            assert code == 0, (end, code)
            continue
        try:
            stream.append(np.zeros((HEIGHT, WIDTH), "uint16"))
        except StreamClosedError:
            end(*((0,) if end in (sys.exit, os._exit) else ()))
            os._exit(0)
        os._exit(3)


if __name__ == "__main__":
    case, folder, frames, period_s, *end = sys.argv[1:]
    main(case, folder, int(frames), float(period_s), *end)
