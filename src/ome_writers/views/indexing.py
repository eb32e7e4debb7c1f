"""Indices of a view: integers, slices and Ellipsis, and what lies outside of what was reached."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = ["one_key_an_axis", "pick"]


def one_key_an_axis(key: Any, ndim: int) -> list[int | slice]:
    """Return one integer or slice for each of `ndim` axes.

    Raises
    ------
    IndexError
        If there are too many keys, or more than one Ellipsis.
    TypeError
        If a key is neither an integer, a slice nor Ellipsis.
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
    return [_plain(k) for k in keys]


def pick(
    key: int | slice, reached: int, planned: int | None, *, strict: bool, name: str
) -> int | range:
    """Return the places along one axis that `key` selects.

    Negative numbers and open ends count from `reached`. A slice with a stop beyond goes on to there, but not past
    `planned`; without a planned end it goes on only when it starts beyond. So a viewer that asks for
    ``i:i + 1`` gets one plane, whether frame i has come or not.

    Raises
    ------
    IndexError
        If an integer lies outside of `reached` (`strict`), or outside of what will ever be there.
    """
    if isinstance(key, slice):
        return _pick_range(key, reached, planned)
    i = key + reached if key < 0 else key
    limit = reached if strict else planned
    if i < 0 or (limit is not None and i >= max(limit, 0 if strict else reached)):
        raise IndexError(f"index {key} is out of bounds for axis {name!r} with size {limit}")
    return i


def _pick_range(key: slice, reached: int, planned: int | None) -> range:
    start, stop, step = key.start, key.stop, key.step
    if step is not None and step < 0:
        return range(reached)[key]
    start = 0 if start is None else max(0, start + reached) if start < 0 else start
    stop = reached if stop is None else max(0, stop + reached) if stop < 0 else stop
    if stop > reached:
        most = stop if start >= reached else reached
        stop = most if planned is None else min(stop, max(planned, reached))
    return range(max(stop, start))[start : stop : step or 1]


def _plain(key: Any) -> int | slice:
    if isinstance(key, slice):
        ends = (None if k is None else operator.index(k) for k in (key.start, key.stop, key.step))
        return slice(*ends)
    if isinstance(key, (bool, np.bool_)) or not hasattr(key, "__index__"):
        raise TypeError(
            f"A StreamView takes integers, slices and Ellipsis as indices, got {key!r}."
        )
    return operator.index(key)
