"""Pixels of datasets that no program is still writing: ImageJ TIFF, ``.npy``, and formats of Micro-Manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec, ImageSpec
from ome_writers.errors import InvalidFileError
from ome_writers.formats import imagej, npy
from ome_writers.formats.micromanager import Acquisition, read_image_files, read_ndtiff
from ome_writers.untrusted import guard_reader
from ome_writers.views.source import Source
from ome_writers.views.stored_source import open_stored
from ome_writers.views.tiff_pages import TiffPages

K = TypeVar("K")


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


def open_image_files(path: Path, _cache_bytes: int, level: int) -> Source:
    """Return the images of a folder of Micro-Manager with one TIFF file each."""

    def read(file: Path) -> NDArray[np.generic] | None:
        with closing(TiffPages(file, path)) as pages:
            return pages.page(0)

    return open_stored(_Acquisition(read_image_files(path), read), level)


def open_ndtiff(path: Path, _cache_bytes: int, level: int) -> Source:
    found, dataset = read_ndtiff(path)

    def read(coordinates: Any) -> Any:
        with guard_reader(path, "ndstorage"):
            return dataset.read_image(**dict(coordinates))

    pixels = _Acquisition(found, read)
    finalize(pixels, dataset.close)
    return open_stored(pixels, level)


class _Acquisition(Generic[K]):
    """Implements `views.stored_source.StoredPixels`; `read` returns the frame with a key."""

    def __init__(self, found: Acquisition[K], read: Callable[[K], Any]) -> None:
        self._found, self.read = found, read

    def spec(self) -> DatasetSpec:
        return self._found.spec

    def array(self, image: int, level: int) -> Any:
        return _Frames(self, self._found.spec.images[image], self._found.frames[image])

    def extents(self) -> Mapping[str, Any]:
        return {}


class _Frames(Generic[K]):
    """One image: ``array[t, c, z]`` is the frame (y, x) or (y, x, samples); zeros where there is none."""

    def __init__(
        self, pixels: _Acquisition[K], image: ImageSpec, keys: Mapping[tuple[int, ...], K]
    ) -> None:
        self.shape = (*image.shape, *(image.samples,) * (image.samples > 1))
        self.dtype = np.dtype(image.levels[0].dtype)
        self._pixels, self._keys = pixels, keys

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        shape = self.shape[len(index) :]
        if index not in self._keys:
            return np.zeros(shape, self.dtype)
        frame = self._pixels.read(self._keys[index])
        if frame is None or frame.shape != shape:
            found = "is missing" if frame is None else f"has shape {frame.shape}, expected {shape}"
            raise InvalidFileError(
                f"{self._pixels.spec().path}: image {self._keys[index]} {found}."
            )
        return np.asarray(frame)


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
