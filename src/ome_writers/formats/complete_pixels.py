"""Pixels of datasets that no program is still writing: TIFF, ImageJ TIFF, ``.npy``, formats of Micro-Manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError
from ome_writers.formats import imagej, npy, plain_tiff
from ome_writers.formats.micromanager import Acquisition, read_image_files, read_ndtiff
from ome_writers.formats.ometiff.tiff_pages import TiffPages
from ome_writers.untrusted import guard_reader

if TYPE_CHECKING:
    from ome_writers.formats.registry import OpenPixels

K = TypeVar("K")


def open_imagej(path: Path, _cache_bytes: int) -> OpenPixels:
    """Return the planes of an ImageJ TIFF.

    ImageJ writes hyperstacks of more than 4 GiB with a single IFD and all planes after each other.
    """
    found = imagej.read_hyperstack(path)
    spec = imagej.spec_of(path, found)
    array: Any
    if found.offset is None:
        indices = np.ndindex(*found.shape[: found.axes.index("Y")])
        pages = {index: number for number, index in enumerate(indices)}
        array = _Planes(spec, 0, pages, TiffPages(path).page)
    else:
        array = np.memmap(path, found.dtype, "r", found.offset, found.shape)
    return _CompletePixels(spec, [array])


def open_npy(path: Path, _cache_bytes: int) -> OpenPixels:
    array = npy.open_array(path)
    return _CompletePixels(npy.spec_of(path, array), [array])


def open_tiff(path: Path, _cache_bytes: int) -> OpenPixels:
    """Return the planes of a TIFF without OME-XML, or of the files in a folder."""
    array: Any
    if path.is_dir():
        spec, folder, stack = plain_tiff.spec_of_folder(path)

        def read(plane: tuple[Path, tuple[int, int | None]]) -> NDArray[np.generic] | None:
            with closing(TiffPages(plane[0], path)) as pages:
                return _page_part(pages, plane[1])

        planes = {
            (*index, *inner): (file, plane)
            for index, file in folder.files.items()
            for inner, plane in _indexed(stack).items()
        }
        array = _Planes(spec, 0, planes, read)
    else:
        stack = plain_tiff.read_stack(path)
        spec = plain_tiff.spec_of(path, stack)
        if stack.offset is not None:
            array = np.memmap(path, stack.dtype, "r", stack.offset, stack.shape)
        else:
            array = _Planes(spec, 0, _indexed(stack), partial(_page_part, TiffPages(path)))
    return _CompletePixels(spec, [array])


def _indexed(stack: plain_tiff.Stack) -> dict[tuple[int, ...], tuple[int, int | None]]:
    indices = np.ndindex(*stack.shape[: len(stack.axes)])
    return dict(zip(indices, stack.planes, strict=True))


def _page_part(pages: TiffPages, plane: tuple[int, int | None]) -> NDArray[np.generic] | None:
    """Return a page, or one of its samples."""
    number, sample = plane
    page = pages.page(number)
    return page if page is None or sample is None else page[sample]


def open_image_files(path: Path, _cache_bytes: int) -> OpenPixels:
    """Return the images of a folder of Micro-Manager with one TIFF file each."""

    def read(file: Path) -> NDArray[np.generic] | None:
        with closing(TiffPages(file, path)) as pages:
            return pages.page(0)

    return _acquisition_pixels(read_image_files(path), read)


def open_ndtiff(path: Path, _cache_bytes: int) -> OpenPixels:
    found, dataset = read_ndtiff(path)

    def read(coordinates: Any) -> Any:
        with guard_reader(path, "ndstorage"):
            return dataset.read_image(**dict(coordinates))

    pixels = _acquisition_pixels(found, read)
    finalize(pixels, dataset.close)
    return pixels


def _acquisition_pixels(found: Acquisition[K], read: Callable[[K], Any]) -> _CompletePixels:
    arrays = [_Planes(found.spec, n, keys, read) for n, keys in enumerate(found.frames)]
    return _CompletePixels(found.spec, arrays)


class _CompletePixels:
    """Implements `OpenPixels`; there is one array per image."""

    def __init__(self, spec: DatasetSpec, arrays: Sequence[Any]) -> None:
        self._spec, self._arrays = spec, arrays

    def spec(self) -> DatasetSpec:
        return self._spec

    def array(self, image: int, level: int) -> Any:
        return self._arrays[image]

    def extents(self) -> Mapping[str, Any]:
        return {}


class _Planes(Generic[K]):
    """One image: ``array[t, c, z]`` is the plane (y, x) or (y, x, samples); zeros where `keys` has none.

    `read` returns the plane with a key.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        image: int,
        keys: Mapping[tuple[int, ...], K],
        read: Callable[[K], Any],
    ) -> None:
        found = spec.images[image]
        self.shape = (*found.shape, *(found.samples,) * (found.samples > 1))
        self.dtype = np.dtype(found.levels[0].dtype)
        self._path, self._keys, self._read = spec.path, keys, read

    def has_plane(self, index: tuple[int, ...], known: object) -> bool:
        return index in self._keys

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        shape = self.shape[len(index) :]
        if index not in self._keys:
            return np.zeros(shape, self.dtype)
        key = self._keys[index]
        plane = self._read(key)
        if plane is None or plane.shape != shape:
            found = "is missing" if plane is None else f"has shape {plane.shape}, expected {shape}"
            raise InvalidFileError(f"{self._path}: plane {key} {found}.")
        return np.asarray(plane)
