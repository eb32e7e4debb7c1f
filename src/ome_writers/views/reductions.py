"""Maximum, minimum, sum and mean of a view, frame by frame."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ome_writers.errors import suggestion


class Reductions:
    """The reductions of numpy arrays, which read one frame at a time. They are also called by `numpy.max` and others.

    Frames that are not written count as 0.

    Parameters of each method
    -------------------------
    axis
        Name or number of an axis, or several of them; None: all axes.
    out
        Array for the result.
    keepdims
        Whether the result keeps the reduced axes, with extent 1.
    """

    dims: Any  # of StreamView
    dtype: Any  # likewise
    shape: Any  # likewise

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    def max(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """Return the maximum along axes, as `numpy.ndarray.max`; `axis` may contain names (``axis="z"``)."""
        return self._reduce("max", np.maximum, axis, out, options)

    def min(self, axis: Any = None, out: Any = None, **options: Any) -> Any:
        """Return the minimum along axes, see `max`."""
        return self._reduce("min", np.minimum, axis, out, options)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """Return the sum along axes, see `max`."""
        return self._reduce("sum", np.add, axis, out, {**options, "dtype": dtype})

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        """Return the mean along axes, see `max`."""
        return self._reduce("mean", np.add, axis, out, {**options, "dtype": dtype})

    def _reduce(
        self, method: str, ufunc: np.ufunc, axis: Any, out: Any, options: dict[str, Any]
    ) -> Any:
        shape, dims = self.shape, self.dims
        axes = _axis_numbers(axis, dims)
        if 0 in shape or options.keys() - {"dtype", "keepdims"}:
            options = {k: v for k, v in options.items() if v is not None}
            return getattr(np.asarray(self), method)(axis=axes, out=out, **options)
        reduced = getattr(np.ones(1, self.dtype), method)
        given = options.get("dtype")
        dtype = np.dtype(reduced().dtype if given is None else given)
        # sums of 16 and 32 bits are inexact
        exact = (
            np.result_type(dtype, np.float64) if dtype.kind in "fc" and ufunc is np.add else dtype
        )
        rank = len(self.reached())  # type: ignore[attr-defined] # of StreamView
        kept = [i for i in range(len(shape)) if i not in axes]
        result = np.zeros([shape[i] for i in kept], exact)
        in_frame = tuple(i - rank for i in axes if i >= rank)
        outer = [i for i in axes if i < rank]
        for index in np.ndindex(*shape[:rank]):
            frame = self[index]  # type: ignore[index] # of StreamView
            values = ufunc.reduce(frame, axis=in_frame, dtype=exact)
            target = tuple(index[i] for i in kept if i < rank)
            first = not any(index[i] for i in outer)
            result[target] = values if first else ufunc(result[target], values)
        if method == "mean":
            result = result / math.prod(shape[i] for i in axes)
        result = result.astype(dtype, copy=False)
        if options.get("keepdims"):
            result = result.reshape([1 if i in axes else n for i, n in enumerate(shape)])
        if out is not None:
            out[...] = result
            return out
        return result[()]


def _axis_numbers(axis: Any, dims: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of axes.

    Raises numpy's AxisError (a ValueError and IndexError) if an axis does not exist.
    """
    if axis is None:
        return tuple(range(len(dims)))
    numbers = []
    for each in axis if isinstance(axis, (tuple, list)) else (axis,):
        if isinstance(each, str):
            if each not in dims:
                raise ValueError(
                    f"axis {each!r} does not exist; the axes are {', '.join(dims)}.{suggestion(each, dims)}"
                )
            numbers.append(list(dims).index(each))
        else:
            number = operator.index(each)
            if not -len(dims) <= number < len(dims):
                raise np.exceptions.AxisError(number, len(dims))
            numbers.append(number % len(dims))
    return tuple(sorted(set(numbers)))
