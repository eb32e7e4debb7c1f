"""Basic indexing of views, also outside of the extents reached so far."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def normalize_index(key: Any, ndim: int) -> list[int | slice]:
    """Return an integer or slice for each of `ndim` axes.

    Raises IndexError if there are too many indices, or more than one Ellipsis; TypeError if an index is not an integer,
    slice or Ellipsis.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    missing = [slice(None)] * (ndim - len(keys) + len(dots))
    if dots:
        keys[dots[0] : dots[0] + 1] = missing
    else:
        keys += missing
    if len(keys) > ndim:
        raise IndexError(
            f"too many indices: the view has {ndim} axes, but {len(keys)} were indexed"
        )
    return [_checked(k) for k in keys]


def select_indices(
    key: int | slice, reached: int, planned: int | None, *, strict: bool, name: str
) -> int | range:
    """Return the index or indices along one axis that `key` selects.

    Negative integers and open slices are relative to the extent `reached`. A slice may stop after it, but not after the
    extent `planned`; on an unbounded axis (None) only if it also starts after it. A viewer that reads ``i:i + 1``
    therefore gets one plane whether frame i was written or not.

    Raises IndexError if an integer is outside of `reached` (`strict`), or outside of both `reached` and `planned`.
    """
    if isinstance(key, slice):
        return _slice_range(key, reached, planned)
    i = key + reached if key < 0 else key
    limit = reached if strict else planned
    if i < 0 or (limit is not None and i >= max(limit, 0 if strict else reached)):
        raise IndexError(f"index {key} is out of bounds for axis {name!r} with size {limit}")
    return i


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


def _checked(key: Any) -> int | slice:
    if isinstance(key, slice):
        ends = (None if k is None else operator.index(k) for k in (key.start, key.stop, key.step))
        return slice(*ends)
    if isinstance(key, (bool, np.bool_)) or not hasattr(key, "__index__"):
        raise TypeError(
            f"StreamView supports integers, slices and Ellipsis as indices, got {key!r}."
        )
    return operator.index(key)
