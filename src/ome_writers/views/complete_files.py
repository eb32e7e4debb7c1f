"""Pixels of single files that no program is still writing: ImageJ TIFF and ``.npy``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError
from ome_writers.formats import imagej, npy
from ome_writers.views.source import Source
from ome_writers.views.stored_source import open_stored
from ome_writers.views.tiff_pages import TiffPages


def open_imagej(path: Path, _cache_bytes: int, level: int) -> Source:
    """Return the planes of an ImageJ TIFF.

    ImageJ writes hyperstacks of more than 4 GiB with a single IFD and all planes after each other.
    """
    found = imagej.read_hyperstack(path)
    array: Any
    if found.offset is None:
        array = _Pages(path, found.shape, found.dtype, found.axes.index("Y"))
    else:
        array = np.memmap(path, found.dtype, "r", found.offset, found.shape)
    return open_stored(_OneArray(imagej.spec_of(path, found), array), level)


def open_npy(path: Path, _cache_bytes: int, level: int) -> Source:
    array = npy.open_array(path)
    return open_stored(_OneArray(npy.spec_of(path, array), array), level)


class _OneArray:
    """Implements `views.stored_source.StoredPixels`."""

    def __init__(self, spec: DatasetSpec, array: Any) -> None:
        self._spec, self._array = spec, array

    def spec(self) -> DatasetSpec:
        return self._spec

    def array(self, image: int, level: int) -> Any:
        return self._array

    def extents(self) -> Mapping[str, Any]:
        return {}


class _Pages:
    """A stack with one IFD per plane: ``array[t, z, c]`` is the plane (y, x) or (y, x, samples)."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic], rank: int
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._pages, self._rank = TiffPages(path), rank

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        number = int(np.ravel_multi_index(index, self.shape[: self._rank])) if index else 0
        page = self._pages.page(number)
        if page is None or page.shape != self.shape[self._rank :]:
            found = "is missing" if page is None else f"has shape {page.shape}"
            raise InvalidFileError(f"{self._pages.path}: page {number} of {self.shape} {found}.")
        return page
