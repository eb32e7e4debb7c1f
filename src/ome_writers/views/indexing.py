"""Indexing of views, also outside of the extents reached so far."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import suggestion

_ALL = slice(None)
Key = int | slice | list[int]
Names = Callable[[], Mapping[str, Sequence[Any]]]
"""Returns the coordinates of each axis; those that are strings are the names by which it can be indexed."""


def enclosing_region(
    part: Sequence[int | slice | Sequence[int]], shape: Sequence[int]
) -> tuple[slice, slice]:
    """Return the rows and columns of a frame of `shape` that contain the selection `part`, which is not empty."""
    extents = []
    for key, extent in zip(part[:2], shape, strict=False):
        if isinstance(key, slice):
            chosen: Sequence[int] = range(extent)[key]
        else:
            chosen = [i % extent for i in ([key] if isinstance(key, int) else key)]
        extents.append(slice(min(chosen), max(chosen) + 1))
    return extents[0], extents[1]


def normalize_index(key: Any, ndim: int, names: Names = dict) -> list[Key]:
    """Return an integer, slice or list of integers for each of `ndim` axes.

    A name is replaced by its index along its axis. A name without further indices belongs to the axis that has it.

    Raises IndexError if there are too many indices, more than one Ellipsis or list, or an unknown name; TypeError if an
    index is none of these.
    """
    if isinstance(key, str):
        key = _key_of_name(key, names())
    keys = list(key) if isinstance(key, tuple) else [key]
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    missing = [_ALL] * (ndim - len(keys) + len(dots))
    if dots:
        keys[dots[0] : dots[0] + 1] = missing
    else:
        keys += missing
    if len(keys) > ndim:
        raise IndexError(
            f"too many indices: the view has {ndim} axes, but {len(keys)} were indexed"
        )
    checked = [
        k if k is _ALL or type(k) is int else _checked(k, axis, names)
        for axis, k in enumerate(keys)
    ]
    if sum(isinstance(k, list) for k in checked) > 1:
        raise IndexError(
            "an index can only have a single list; select along the other axis of the result"
        )
    return checked


def select_indices(
    key: Key, reached: int, planned: int | None, name: str, *, strict: bool
) -> int | range | list[int]:
    """Return the index or indices along one axis that `key` selects.

    Negative integers and open slices are relative to the extent `reached`. A slice may stop after it, but not after the
    extent `planned`; on an unbounded axis (None) only if it also starts after it. A viewer that reads ``i:i + 1``
    therefore gets one plane whether frame i was written or not.

    Raises IndexError if an integer is outside of `reached` (`strict`), or outside of both `reached` and `planned`.
    """
    if isinstance(key, slice):
        return _slice_range(key, reached, planned)
    limit = reached if strict else planned
    selected = []
    for k in key if isinstance(key, list) else [key]:
        i = k + reached if k < 0 else k
        if i < 0 or (limit is not None and i >= max(limit, 0 if strict else reached)):
            raise IndexError(f"index {k} is out of bounds for axis {name!r} with size {limit}")
        selected.append(i)
    return selected if isinstance(key, list) else selected[0]


def take_part(frame: NDArray[Any], keys: Sequence[Key]) -> NDArray[Any]:
    """Return the part of a frame that `keys` select, each along its axis, whose order stays."""
    for axis in reversed(range(len(keys))):
        frame = frame[(slice(None),) * axis + (keys[axis],)]
    return frame


def _slice_range(key: slice, reached: int, planned: int | None) -> range:
    start, stop, step = key.start, key.stop, key.step
    if step is not None and step < 0:
        return range(reached)[key]
    start = 0 if start is None else max(0, start + reached) if start < 0 else start
    stop = reached if stop is None else max(0, stop + reached) if stop < 0 else stop
    if stop > reached:
        limit = stop if start >= reached else reached
        stop = limit if planned is None else min(stop, max(planned, reached))
    return range(max(stop, start))[start : stop : step or 1]


def _checked(key: Any, axis: int, names: Names) -> Key:
    if isinstance(key, slice):
        ends = (None if k is None else operator.index(k) for k in (key.start, key.stop, key.step))
        return slice(*ends)
    if isinstance(key, str):
        return _index_of_name(key, axis, names())
    if isinstance(key, list) or (isinstance(key, np.ndarray) and key.ndim == 1):
        indices = [_checked(k, axis, names) for k in key]
        integers = [i for i in indices if isinstance(i, int)]
        if len(integers) == len(indices):
            return integers
    if isinstance(key, (bool, np.bool_, list)) or not hasattr(key, "__index__"):
        raise TypeError(
            "StreamView supports integers, slices, Ellipsis, names such as those of channels, and one list of integers "
            f"or names as indices, got {key!r}."
        )
    return operator.index(key)


def _key_of_name(name: str, names: Mapping[str, Sequence[Any]]) -> tuple[Any, ...]:
    """Return the index of the only axis that has this name."""
    axes = [axis for axis, coords in enumerate(names.values()) if name in coords]
    if len(axes) == 1:
        return (*[slice(None)] * axes[0], name)
    if axes:
        dims = " and ".join(repr(list(names)[axis]) for axis in axes)
        raise IndexError(
            f"{name!r} is a name along the axes {dims}; index along one of them, as in view[:, {name!r}]"
        )
    known = [coord for coords in names.values() for coord in coords if isinstance(coord, str)]
    raise IndexError(_unknown(name, "any axis", known))


def _index_of_name(name: str, axis: int, names: Mapping[str, Sequence[Any]]) -> int:
    dims = list(names)
    coords = names[dims[axis]] if axis < len(dims) else ()
    if name in coords:
        return list(coords).index(name)
    own = dims[axis] if axis < len(dims) else axis
    known = [coord for coord in coords if isinstance(coord, str)]
    raise IndexError(_unknown(name, f"axis {own!r}", known))


def _unknown(name: str, axis: str, known: Sequence[str]) -> str:
    from ome_writers.formats import abbreviated_list

    listed = f"its names are {abbreviated_list(list(known), 10)}" if known else "it has none"
    return f"{name!r} is not a name along {axis}; {listed}.{suggestion(name, known)}"
