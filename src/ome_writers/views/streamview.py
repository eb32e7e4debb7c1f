"""The whole acquisition as one read-only array, in the order in which it is acquired."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ome_writers.views.live import LiveSource
from ome_writers.views.stacked import StackedSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from psygnal import SignalInstance
    from typing_extensions import Self

    from ome_writers.views.live import Stream

__all__ = ["Source", "StreamView"]


class Source(Protocol):
    """Where a view gets its planes from; see `LiveSource` and `StackedSource`.

    `dims` and `full_shape` cover all axes, y and x (and samples) last; `extents` is what was reached of the
    others so far.
    """

    dims: tuple[str, ...]
    dtype: np.dtype[np.generic]
    coords_changed: SignalInstance

    def full_shape(self) -> tuple[int, ...]: ...
    def extents(self) -> tuple[int, ...]: ...
    def coords(self, extents: tuple[int, ...]) -> Mapping[str, Sequence[Any]]: ...
    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None: ...


class StreamView:
    """A read-only array of the whole acquisition, live and after close.

    Its axes are those of the settings in acquisition order, the position axis being called ``p``. What was not
    written reads as 0. All methods may be called from any thread, also while frames are appended.

    Parameters
    ----------
    arrays
        One array-like an image, in storage order.
    position_axis
        Where the position axis stands in the acquisition order; None when there is one image and no axis.
    acquisition_order_perm
        For each index axis in acquisition order (without positions) its place in storage order.
    dimension_labels
        Names of all axes, in acquisition order.
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        *,
        position_axis: int | None = 0,
        acquisition_order_perm: tuple[int, ...] | None = None,
        dimension_labels: Sequence[str] = (),
    ) -> None:
        self._source: Source = StackedSource(
            arrays, position_axis, acquisition_order_perm, tuple(dimension_labels)
        )
        self._dynamic = False
        self._strict = False

    @classmethod
    def of(cls, stream: Stream, *, dynamic_shape: bool = True, strict: bool = False) -> Self:
        """Return a view of a stream.

        Parameters
        ----------
        stream
            The stream.
        dynamic_shape
            Whether extents start at 0 and grow as frames come, or are those that were planned.
        strict
            Whether an index outside raises IndexError; otherwise it reads as 0.
        """
        view = cls.__new__(cls)
        view._source = LiveSource(stream)
        view._dynamic = dynamic_shape
        view._strict = strict
        return view

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self._source.dims

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The frames' dtype."""
        return self._source.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """What was reached so far (``dynamic_shape=True``), or what is planned."""
        full = self._source.full_shape()
        if not self._dynamic:
            return full
        extents = self._source.extents()
        return (*extents, *full[len(extents) :])

    @property
    def coords(self) -> Mapping[str, Sequence[Any]]:
        """A sized sequence of coordinates an axis: names of channels and positions, else a range."""
        return self._source.coords(self.shape)

    @property
    def coords_changed(self) -> SignalInstance:
        """A signal without arguments: a new extent was reached."""
        return self._source.coords_changed

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        shape = self.shape
        keys = _expand(key, len(shape))
        picked = [self._pick(k, n, d) for k, n, d in zip(keys, shape, self.dims, strict=True)]
        rank = len(self._source.extents())
        inner = tuple(keys[rank:])
        lists = [[p] if isinstance(p, int) else p for p in picked[:rank]]
        frame_shape = self._source.full_shape()[rank:]
        sample = np.empty(frame_shape, np.bool_)[inner]
        out = np.zeros((math.prod(map(len, lists)), *sample.shape), self.dtype)
        for row, index in zip(out, _product(lists), strict=True):
            plane = self._source.plane(index)
            if plane is not None:
                row[...] = plane[inner]
        outer = [len(p) for p in picked[:rank] if not isinstance(p, int)]
        return out.reshape(*outer, *sample.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        if copy is False:
            raise ValueError("A StreamView is assembled when it is read: it cannot be had without a copy.")
        return np.asarray(self[...], dtype=dtype)

    def __repr__(self) -> str:
        axes = ", ".join(f"{d}: {n}" for d, n in zip(self.dims, self.shape, strict=True))
        return f"<StreamView ({axes}) {self.dtype}>"

    def to_xarray(self) -> Any:
        """Return what is there now as an `xarray.DataArray` (xarray must be installed)."""
        import xarray

        shape = self.shape
        coords = {d: list(c) for d, c in self.coords.items() if len(c) == shape[self.dims.index(d)]}
        return xarray.DataArray(np.asarray(self), dims=self.dims, coords=coords)

    def to_dask(self) -> Any:
        """Return a lazy `dask.array.Array`, one chunk a plane (dask must be installed)."""
        import dask.array

        shape = self.shape
        rank = len(self._source.extents())
        chunks = (*(1,) * rank, *shape[rank:])
        return dask.array.from_array(self, chunks=chunks, asarray=False, fancy=False)

    def _pick(self, key: Any, extent: int, dim: str) -> int | range:
        if isinstance(key, slice):
            # viewers ask for slice(i, i + 1) before frame i has come: that reads as 0
            if not self._strict and key.step in (None, 1) and key.start is not None:
                if key.stop is not None and key.start >= 0 and key.stop >= 0:
                    planned = self._source.full_shape()[self.dims.index(dim)]
                    extent = max(extent, min(key.stop, max(planned, key.start + 1)))
            return range(extent)[key]
        i = int(key)
        if i < 0:
            i += extent
        if (self._strict or i < 0) and not 0 <= i < extent:
            raise IndexError(f"index {key} is out of bounds for axis {dim!r} with size {extent}")
        return i


def _expand(key: Any, ndim: int) -> list[Any]:
    """Return one int or slice an axis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (ndim - len(keys) + 1)
    keys += [slice(None)] * (ndim - len(keys))
    if len(keys) != ndim:
        raise IndexError(f"too many indices: the array has {ndim} axes, but {len(keys)} were indexed")
    for k in keys:
        if not isinstance(k, (int, np.integer, slice)):
            raise IndexError(f"A StreamView takes integers, slices and Ellipsis, got {k!r}.")
    return keys


def _product(lists: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    import itertools

    return itertools.product(*lists)
