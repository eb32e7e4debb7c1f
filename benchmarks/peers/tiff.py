"""tifffile: a contiguous series frame by frame, or (variant `memmap`) a mapped file filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tifffile

from benchmarks.contract import RefusedError, Writer
from benchmarks.readback import tiff_page

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.workload import Workload


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a writer of one OME-TIFF file with a time axis."""
    if workload.format != "tiff" or workload.layout != "single" or workload.metadata:
        raise RefusedError("writes one OME-TIFF file without frame metadata")
    path = folder / "series.ome.tif"
    if variant == "memmap":
        return _mapped(workload, path)
    series = tifffile.TiffWriter(path, bigtiff=True, ome=True)

    def append(frame: NDArray[np.uint16]) -> None:
        series.write(frame, contiguous=True, photometric="minisblack", metadata={"axes": "TYX"})

    return Writer(append, series.close, lambda n: tiff_page(path, n))


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
