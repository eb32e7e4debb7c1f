"""Arrays in ``.npy`` files of numpy, which are only read.

They have no metadata: axes are the last of t, c, z, y, x; a last axis of length 3 behind at least two others is RGB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.formats.complete_pixels import CompletePixels
from ome_writers.formats.plane_files import axes_of_shape, image_of_planes
from ome_writers.formats.registry import FormatRow, read_only_settings
from ome_writers.untrusted import check_memory, check_shape, guard_reader

_MAGIC = b"\x93NUMPY"


def is_npy(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def open_array(path: Path) -> NDArray[Any]:
    """Return the array as a memory map; objects are never unpickled.

    Raises UnsupportedError if it has less than two axes, or more than are known.
    """
    with guard_reader(path, "numpy"):
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            if getattr(error, "winerror", None) == 8:  # mapped beyond its end; others: ValueError
                raise ValueError("the file is shorter than its header says") from error
            raise
    shape = check_shape(list(array.shape), path)
    axes_of_shape(_plane_shape(shape), path)
    check_memory((*shape[-2 - _is_rgb(shape) :], array.dtype.itemsize), f"{path}: a plane")
    return array


def parse(path: Path) -> DatasetSpec:
    return spec_of(path, open_array(path))


def spec_of(path: Path, array: NDArray[Any]) -> DatasetSpec:
    samples = 3 if _is_rgb(array.shape) else 1
    dimensions = axes_of_shape(_plane_shape(array.shape), path)
    image = image_of_planes(path.name, path.name, dimensions, array.dtype.name, samples=samples)
    return DatasetSpec(path, "npy", "", "image", (image,), dimensions)


def _plane_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without RGB samples."""
    return shape[:-1] if _is_rgb(shape) else shape


def _is_rgb(shape: tuple[int, ...]) -> bool:
    return len(shape) > 2 and shape[-1] == 3


def open_pixels(path: Path, _cache_bytes: int = 0) -> CompletePixels:
    array = open_array(path)
    return CompletePixels(spec_of(path, array), [array])


FORMAT = FormatRow(
    settings=read_only_settings("npy", "npy"),
    recognizes=is_npy,
    parse=parse,
    frame_metadata=lambda _: [],
    open_pixels=open_pixels,
)
