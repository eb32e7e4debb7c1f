"""Functions for `process` that return one plane (y, x), and read one plane at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ome_writers import Dimension, SettingsError
from ome_writers_tools.conversion import with_values

Plane = NDArray[np.generic]


class PlaneFunction(ABC):
    """A function of the planes along one axis, or of a single plane. Can be pickled."""

    axis: str | None = None
    """The axis that the result does not have; None for a function of a single plane."""

    @abstractmethod
    def __call__(self, planes: Iterable[Plane]) -> Plane:
        """Return the result for planes (y, x) in the order of `axis`; they may be read lazily."""

    def dimension(self, dimension: Dimension) -> Dimension:
        """Return the dimension y or x of the result, from that of the source."""
        return dimension

    def dtype(self, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        """Return the dtype of the result, from that of the source."""
        return dtype

    def selection(self, dimension: Dimension) -> tuple[int, int]:
        """Return start and stop of the planes that are processed along another axis than y and x."""
        return 0, dimension.count or 1


@dataclass(frozen=True)
class Maximum(PlaneFunction):
    """Maximum projection along an axis, such as ``"z"``."""

    axis: str  # pyright: ignore[reportIncompatibleVariableOverride]  # the class is frozen

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        return _extremum(planes, np.maximum)


@dataclass(frozen=True)
class Mean(PlaneFunction):
    """Mean along an axis, in the dtype of the source; integers are rounded half to even."""

    axis: str  # pyright: ignore[reportIncompatibleVariableOverride]  # the class is frozen

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        planes = iter(planes)
        first = next(planes)
        total, count = first.astype(np.float64), 1
        for plane in planes:
            total += plane.astype(np.float64)
            count += 1
        return _as_dtype(total / count, first.dtype)


@dataclass(frozen=True)
class Minimum(PlaneFunction):
    """Minimum projection along an axis, such as ``"z"``."""

    axis: str  # pyright: ignore[reportIncompatibleVariableOverride]  # the class is frozen

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        return _extremum(planes, np.minimum)


@dataclass(frozen=True)
class Sum(PlaneFunction):
    """Sum along an axis: of integers in 32 bits (of 32-bit integers in 64), otherwise in the dtype of the source."""

    axis: str  # pyright: ignore[reportIncompatibleVariableOverride]  # the class is frozen

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        planes = iter(planes)
        first = next(planes)
        dtype = self.dtype(first.dtype)
        total: NDArray[Any] = first.astype(
            np.promote_types(dtype, np.float64) if dtype.kind in "fc" else dtype
        )
        for plane in planes:
            total += plane
        return total.astype(dtype)

    def dtype(self, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        if dtype.kind not in "iu":
            return dtype
        return np.dtype(f"{dtype.kind}{4 if dtype.itemsize < 4 else 8}")


@dataclass(frozen=True)
class StandardDeviation(PlaneFunction):
    """Standard deviation along an axis, of the planes as a population (``ddof=0``), as float32 (float64 of float64)."""

    axis: str  # pyright: ignore[reportIncompatibleVariableOverride]  # the class is frozen

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        mean: Any = 0.0
        squares = deviation = mean
        dtype: np.dtype[np.generic] = np.dtype(np.float32)
        for count, plane in enumerate(planes, 1):  # Welford's algorithm
            dtype = self.dtype(plane.dtype)
            change = plane.astype(np.float64) - mean
            mean = mean + change / count
            squares = squares + change * (plane - mean)
            deviation = np.sqrt(squares / count)
        return np.asarray(deviation, dtype)

    def dtype(self, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        return dtype if dtype == np.float64 else np.dtype(np.float32)


@dataclass(frozen=True)
class FlatField(PlaneFunction):
    """Flat-field correction: ``(plane - dark) / (flat - dark)``, scaled so that the mean gain is 1.

    The result has the dtype of the source; integers are rounded and clipped. Pixels whose `flat` is not above `dark`
    are 0.

    Attributes
    ----------
    flat, dark
        Arrays (y, x), a number, or the absolute path of an ``.npy`` file, which each worker reads: prefer it with many
        workers.
    """

    flat: ArrayLike | str | os.PathLike[str]
    dark: ArrayLike | str | os.PathLike[str] = 0

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        (plane,) = planes
        dark, gain = self._dark_and_gain
        return _as_dtype((plane.astype(np.float64) - dark) * gain, plane.dtype)

    def dimension(self, dimension: Dimension) -> Dimension:
        shape = self._dark_and_gain[1].shape
        if shape and (len(shape) != 2 or shape[dimension.name == "x"] != dimension.count):
            raise SettingsError(
                f"FlatField: the shape of the flat-field image is {shape}, and the source has {dimension.count} pixels "
                f"along {dimension.name}. Use an image (y, x) of the same camera, region and binning."
            )
        return dimension

    @cached_property
    def _dark_and_gain(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        flat, dark = _loaded(self.flat), _loaded(self.dark)
        if dark.shape not in ((), flat.shape):
            raise SettingsError(
                f"FlatField: the shape of the dark image is {dark.shape}, that of the flat-field image {flat.shape}. "
                "Use two images (y, x) of equal shape, or a number as dark."
            )
        reference = flat - dark
        gain = np.zeros(reference.shape)
        np.divide(reference.mean(), reference, out=gain, where=reference > 0)
        return dark, gain

    def __reduce__(self) -> tuple[Any, ...]:
        return FlatField, (self.flat, self.dark)  # without the cached gain


@dataclass(frozen=True)
class Crop(PlaneFunction):
    """Pixels, planes, channels and time points from `start` up to, not including, `stop`; None: all of them."""

    y: tuple[int, int] | None = None
    x: tuple[int, int] | None = None
    t: tuple[int, int] | None = None
    c: tuple[int, int] | None = None
    z: tuple[int, int] | None = None

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        (plane,) = planes
        return plane[slice(*(self.y or (None,))), slice(*(self.x or (None,)))]

    def dimension(self, dimension: Dimension) -> Dimension:
        start, stop = self._range(dimension)
        return _resampled(dimension, stop - start, 1, start)

    def selection(self, dimension: Dimension) -> tuple[int, int]:
        return self._range(dimension)

    def _range(self, dimension: Dimension) -> tuple[int, int]:
        extent = dimension.count or 0
        given = {"y": self.y, "x": self.x, "t": self.t, "c": self.c, "z": self.z}
        start, stop = given.get(dimension.name) or (0, extent)
        if not 0 <= start < stop <= extent:
            raise SettingsError(
                f"Crop {dimension.name}=({start}, {stop}) is not inside the extent {extent} of the source. "
                f"Choose 0 <= start < stop <= {extent}."
            )
        return start, stop


@dataclass(frozen=True)
class Bin(PlaneFunction):
    """Mean or sum of `factor` x `factor` pixels; incomplete bins at the edge are left out.

    The result has the dtype of the source; integers are rounded half to even, and sums are clipped.
    """

    factor: int
    method: Literal["mean", "sum"] = "mean"

    def __call__(self, planes: Iterable[Plane]) -> Plane:
        (plane,) = planes
        n = self.factor
        height, width = (extent // n for extent in plane.shape)
        bins = plane[: height * n, : width * n].reshape(height, n, width, n)
        total = bins.sum(axis=(1, 3), dtype=np.float64)
        return _as_dtype(total / n**2 if self.method == "mean" else total, plane.dtype)

    def dimension(self, dimension: Dimension) -> Dimension:
        count = (dimension.count or 0) // self.factor if self.factor > 0 else 0
        if not count:
            raise SettingsError(
                f"Bin factor {self.factor} is not between 1 and the {dimension.count} pixels along {dimension.name}."
            )
        return _resampled(dimension, count, self.factor, (self.factor - 1) / 2)


def _resampled(dimension: Dimension, count: int, factor: int, offset: float) -> Dimension:
    """Return a dimension whose first pixel is at `offset` pixels of the source, and `factor` times as large."""
    scale = dimension.scale
    return with_values(
        dimension,
        count=count,
        chunk_size=None,
        shard_size_chunks=None,
        scale=scale and scale * factor,
        translation=scale and (dimension.translation or 0) + scale * offset,
    )


def _extremum(planes: Iterable[Plane], choose: np.ufunc) -> Plane:
    """Return the maximum or minimum of planes, pixel by pixel."""
    planes = iter(planes)
    result: Plane = next(planes).copy()
    for plane in planes:
        choose(result, plane, out=result)
    return result


def _loaded(values: ArrayLike | str | os.PathLike[str]) -> NDArray[np.float64]:
    if isinstance(values, (str, os.PathLike)):
        path = values
        try:
            values = np.load(path)
        except (ValueError, EOFError) as error:
            raise SettingsError(
                f"{path} is not an .npy file: {error}. Write the image with `numpy.save`."
            ) from error
    return np.asarray(values, np.float64)


def _as_dtype(values: NDArray[np.float64], dtype: np.dtype[np.generic]) -> Plane:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)  # type: ignore[type-var] # an integer, as tested above
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)
