"""Arrays that napari slices: the frames of one image and channel, and many images side by side in one plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers import StreamView
from ome_writers_napari.layouts import PlaneLayout

_SAMPLES_PER_AXIS = 64
_OVERVIEW_PIXELS = 2048  # longer side of the smallest level of a mosaic


class IntensityRange:
    """Minimum and maximum of the frames of one channel that were shown."""

    def __init__(self) -> None:
        self.limits: tuple[float, float] | None = None

    def include(self, pixels: NDArray[np.generic]) -> None:
        """Include a sample of the pixels, except those that are 0: frames that are not written, and padding."""
        rows, columns = (max(1, n // _SAMPLES_PER_AXIS) for n in pixels.shape[-2:])
        sample = pixels[..., ::rows, ::columns]
        sample = sample[np.isfinite(sample) & (sample != 0)]
        if not sample.size:
            return
        low, high = float(sample.min()), float(sample.max())
        if self.limits is not None:
            low, high = min(low, self.limits[0]), max(high, self.limits[1])
        self.limits = (low, high)


class FrameStack:
    """Part of a view with some axes at a fixed index, as an array of constant shape.

    `fixed` maps axes of the view to the index on them; the stack has the other axes. `intensities` collects the range
    of the pixels that are read.
    """

    def __init__(
        self,
        view: StreamView,
        shape: Sequence[int],
        fixed: Mapping[int, int],
        intensities: IntensityRange,
    ) -> None:
        self._view = view
        self._fixed = dict(fixed)
        self._intensities = intensities
        self.shape = tuple(n for axis, n in enumerate(shape) if axis not in fixed)
        self.dtype = view.dtype
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        keys = full_key(key, self.ndim)
        given = iter(keys)
        axes = range(self.ndim + len(self._fixed))
        index = tuple(self._fixed[i] if i in self._fixed else next(given) for i in axes)
        try:
            pixels = self._view[index]
        except IndexError:
            # before its first flush, a growing OME-Zarr has its planned shape, and afterwards less
            extents = zip(keys, self.shape, strict=True)
            return np.zeros(
                [len(range(n)[k]) for k, n in extents if isinstance(k, slice)], self.dtype
            )
        if pixels.ndim > 1 and pixels.size:
            self._intensities.include(pixels)
        return pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        return np.asarray(self[...], dtype=dtype)


class Tile(NamedTuple):
    """A stack, and the row and column of its first pixel in a mosaic."""

    stack: Any  # a FrameStack or LabelStack
    row: int
    column: int


class Mosaic:
    """Several stacks side by side in one plane, as an array; pixels between them are 0, later tiles cover earlier ones.

    The stacks of the tiles have the same shape. `size` is (rows, columns) of the plane; the array has every `step`-th
    pixel of each row and column.
    """

    def __init__(self, tiles: Sequence[Tile], size: tuple[int, int], step: int = 1) -> None:
        self._tiles = tiles
        self._size = size
        self._step = step
        stack = tiles[0].stack
        self.dtype = stack.dtype
        self.shape = (*stack.shape[:-2], *(-(-n // step) for n in size))
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def coarser(self) -> Mosaic:
        """Return every second pixel."""
        return Mosaic(self._tiles, self._size, 2 * self._step)

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        *outer, rows, columns = full_key(key, self.ndim)
        height, width = self.shape[-2:]
        row_range, column_range = _as_range(rows, height), _as_range(columns, width)
        extents = [
            len(range(n)[k])
            for k, n in zip(outer, self.shape, strict=False)
            if isinstance(k, slice)
        ]
        out = np.zeros((*extents, len(row_range), len(column_range)), self.dtype)
        for stack, row, column in self._tiles:
            target_rows, source_rows = self._overlap(row_range, row, stack.shape[-2])
            target_columns, source_columns = self._overlap(column_range, column, stack.shape[-1])
            if target_rows.start < target_rows.stop and target_columns.start < target_columns.stop:
                source = (*outer, source_rows, source_columns)
                out[..., target_rows, target_columns] = stack[source]
        index = (Ellipsis, *(slice(None) if isinstance(k, slice) else 0 for k in (rows, columns)))
        return out[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        return np.asarray(self[...], dtype=dtype)

    def _overlap(self, wanted: range, first: int, extent: int) -> tuple[slice, slice]:
        """Return the part of `wanted` that a tile covers, and the part of the tile that it shows."""
        step = self._step
        start = max(wanted.start, -(-first // step))
        count = max(0, min(wanted.stop, -(-(first + extent) // step)) - start)
        target, source = start - wanted.start, start * step - first
        return slice(target, target + count), slice(source, source + count * step, step)


def mosaics(stacks: Sequence[Sequence[Any]], layout: PlaneLayout) -> list[Mosaic]:
    """Return the levels of a mosaic: those of its images, then every second, fourth, ... pixel of the last one."""
    found: list[Mosaic] = []
    for level in stacks:
        y, x = (stacks[0][0].shape[axis] / level[0].shape[axis] for axis in (-2, -1))
        tiles = [
            Tile(stack, round(offset[0] / y), round(offset[1] / x))
            for stack, offset in zip(level, layout.offsets, strict=False)  # not all are reached yet
        ]
        size = (round(layout.size[0] / y), round(layout.size[1] / x))
        found.append(Mosaic(tiles, size))
    while max(found[-1].shape[-2:]) > _OVERVIEW_PIXELS:
        found.append(found[-1].coarser())
    return found


def full_key(key: Any, ndim: int) -> list[int | slice]:
    """Return an index or slice of each axis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (ndim - len(keys) + 1)
    return [*keys, *[slice(None)] * (ndim - len(keys))]


def _as_range(key: int | slice, extent: int) -> range:
    return range(extent)[key] if isinstance(key, slice) else range(extent)[key : key + 1 or None]
