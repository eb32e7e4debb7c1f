"""Checked reading of a Pixels element: sizes, axes, pixel type, and the IFDs of its planes.

Source: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.errors import InvalidFileError
from ome_writers.settings import PIXEL_TYPES, dtype_of
from ome_writers.untrusted import check_count, check_memory

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_SAMPLES = 2**16 - 1  # TIFF stores SamplesPerPixel in 16 bits


class PixelSizes(NamedTuple):
    """Sizes of an image."""

    axes: str  # T, C and Z, slowest first
    # extents along these, and X and Y; C is the number of channels, not of samples
    sizes: dict[str, int]
    samples: int  # samples per pixel
    dtype: np.dtype[np.generic]  # data type of a sample


class PlaneRun(NamedTuple):
    """A TiffData element: first plane, number of planes, file name ("" for the same file), and first IFD."""

    first: int
    planes: int
    file: str
    ifd: int


def pixel_sizes(pixels: Element, file: Path) -> PixelSizes:
    """Return the sizes of an image.

    Raises InvalidFileError if a size is not a positive integer, or a plane does not fit into memory.
    """
    order = pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT"):
        raise InvalidFileError(
            f"{file}: DimensionOrder must be a permutation of XYZCT, got {order[:40]!r}."
        )
    channel = pixels.find("{*}Channel")
    samples = check_count(
        "1" if channel is None else channel.get("SamplesPerPixel", "1"),
        f"{file}: SamplesPerPixel",
        _MAX_SAMPLES,
        minimum=1,
    )
    sizes = {
        axis: check_count(pixels.get(f"Size{axis}", "1"), f"{file}: Size{axis}", minimum=1)
        for axis in "TCZYX"
    }
    sizes["C"] = max(1, sizes["C"] // samples)
    name = dtype_of(pixels.get("Type", ""))
    if name not in PIXEL_TYPES:
        raise InvalidFileError(f"{file}: unknown pixel Type {name[:40]!r}.")
    dtype = np.dtype(name)
    check_memory((sizes["Y"], sizes["X"], samples, dtype.itemsize), f"{file}: a plane")
    return PixelSizes(order[:1:-1], sizes, samples, dtype)


def plane_runs(pixels: Element, sizes: PixelSizes, file: Path) -> Iterator[PlaneRun]:
    """Yield the planes and IFDs of each TiffData element; planes are numbered along `axes`, the last the fastest.

    Raises InvalidFileError if an attribute is not a non-negative integer.
    """
    total = 1
    for axis in sizes.axes:
        total *= sizes.sizes[axis]
    for data in pixels.iterfind("{*}TiffData"):
        first = 0
        for axis in sizes.axes:
            start = check_count(data.get(f"First{axis}", "0"), f"{file}: First{axis}")
            first = first * sizes.sizes[axis] + start
        ifd = data.get("IFD")
        count = data.get("PlaneCount", str(total) if ifd is None else "1")
        uuid = data.find("{*}UUID")
        yield PlaneRun(
            first,
            check_count(count, f"{file}: PlaneCount"),
            "" if uuid is None else uuid.get("FileName", ""),
            check_count(ifd or "0", f"{file}: IFD"),
        )
