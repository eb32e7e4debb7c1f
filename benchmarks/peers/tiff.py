"""tifffile in the three ways that its documentation shows for frames arriving one by one.

An OME-TIFF from a generator of pages in a thread; a memory-mapped OME-TIFF (variant `memmap`); successive contiguous
writes (variant `plain`), which tifffile supports for plain TIFF without axes only.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import tifffile

from benchmarks.verification import tiff_page
from benchmarks.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.workload import Workload

_FRAMES_IN_FLIGHT = 16


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a writer of one file with a time axis."""
    if variant == "plain":
        return _plain(folder / "series.tif")
    path = folder / "series.ome.tif"
    return _mapped(workload, path) if variant == "memmap" else _generated(workload, path)


def _generated(workload: Workload, path: Path) -> Writer:
    frames: queue.Queue[NDArray[np.uint16]] = queue.Queue(_FRAMES_IN_FLIGHT)

    def pages() -> Iterator[NDArray[np.uint16]]:
        for _ in range(workload.frames):
            yield frames.get()

    def write() -> None:
        with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
            file.write(
                pages(),
                shape=(workload.frames, workload.height, workload.width),
                dtype="uint16",
                photometric="minisblack",
                metadata={"axes": "TYX"},
            )

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return Writer(lambda frame: frames.put(frame.copy()), thread.join, lambda n: tiff_page(path, n))


def _mapped(workload: Workload, path: Path) -> Writer:
    mapped = tifffile.memmap(
        path,
        shape=(workload.frames, workload.height, workload.width),
        dtype="uint16",
        bigtiff=True,
        photometric="minisblack",
        metadata={"axes": "TYX"},
    )
    written = 0

    def append(frame: NDArray[np.uint16]) -> None:
        nonlocal written
        mapped[written] = frame
        written += 1

    return Writer(append, mapped.flush, lambda n: tiff_page(path, n))


def _plain(path: Path) -> Writer:
    file = tifffile.TiffWriter(path, bigtiff=True)

    def append(frame: NDArray[np.uint16]) -> None:
        file.write(frame, contiguous=True, photometric="minisblack")

    return Writer(append, file.close, lambda n: tiff_page(path, n))
