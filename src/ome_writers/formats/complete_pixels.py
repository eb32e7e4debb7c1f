"""Pixels of datasets that no program is still writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError

K = TypeVar("K")


class CompletePixels:
    """Implements `OpenPixels`; there is one array per image."""

    def __init__(self, spec: DatasetSpec, arrays: Sequence[Any]) -> None:
        self._spec, self._arrays = spec, arrays

    def spec(self) -> DatasetSpec:
        return self._spec

    def array(self, image: int, level: int) -> Any:
        return self._arrays[image]

    def extents(self) -> Mapping[str, Any]:
        return {}


class Planes(Generic[K]):
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
