"""`StreamView`: an acquisition as one read-only array, in acquisition order."""

# Longer than 300 lines: one class; half of the file is its documentation.
from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import coordinates
from ome_writers.settings import Dimension
from ome_writers.signals import guarded_signal_class
from ome_writers.untrusted import check_memory
from ome_writers.views.emitter import emitter
from ome_writers.views.indexing import (
    enclosing_region,
    normalize_index,
    select_indices,
    take_part,
)
from ome_writers.views.reductions import Reductions
from ome_writers.views.source import physical_coords
from ome_writers.views.stacked import StackedSource
from ome_writers.views.stream_source import StreamSource
from ome_writers.views.summary import html_summary, newest_time_point, summary_line

if TYPE_CHECKING:
    from functools import partial

    import dask.array
    import xarray
    from psygnal import SignalInstance
    from typing_extensions import Self

    from ome_writers.views.source import PlaneSource, Summary
    from ome_writers.views.stream_source import FrameReader


class StreamView(Reductions):
    """A read-only array of the whole acquisition, live and after close.

    The axes are the dimensions of the settings in acquisition order. The position axis is called ``p``; RGB frames have
    a last axis ``s`` of three samples. Frames that are not written read as 0. Indexing reads only the selected frames.
    All methods may be called from any thread, also while frames are appended.

    `OMEStream.view` returns a view of a stream, `ome_writers.open` a view of a dataset.

    Parameters
    ----------
    arrays
        One array-like per image, in storage order, with y and x last.
    position_axis
        Index of the image axis in acquisition order; None: only the first array.
    acquisition_order_perm
        For each acquisition axis, without the position axis, the storage axis.
    dimension_labels
        Names of all axes in acquisition order; by default ``d0``, ``d1``, ...
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        *,
        position_axis: int | None = 0,
        acquisition_order_perm: tuple[int, ...] | None = None,
        dimension_labels: Sequence[str] = (),
    ) -> None:
        self._setup(StackedSource(arrays, position_axis, acquisition_order_perm, dimension_labels))

    @classmethod
    def of(
        cls,
        stream: FrameReader,
        *,
        dynamic_shape: bool = True,
        strict: bool = False,
        level: int = 0,
    ) -> Self:
        """Return a view of a stream, at a resolution level.

        Parameters
        ----------
        dynamic_shape
            Whether extents start at 0 and grow with the frames; otherwise they are the planned ones.
        strict
            Whether an integer index outside of the shape raises IndexError; otherwise it reads as 0.
        """
        source = StreamSource(stream, level=level)
        return cls.over(source, dynamic_shape=dynamic_shape, strict=strict)

    @classmethod
    def over(
        cls,
        source: PlaneSource,
        *,
        dynamic_shape: bool = False,
        strict: bool = False,
        reopen: partial[StreamView] | None = None,
    ) -> Self:
        """Return a view of any `PlaneSource`; `reopen` returns the same view in another process."""
        view = cls.__new__(cls)
        view._setup(source, dynamic=dynamic_shape, strict=strict)  # noqa: SLF001 # own instance
        view._reopen = reopen  # noqa: SLF001 # own instance
        return view

    def _setup(self, source: PlaneSource, *, dynamic: bool = False, strict: bool = False) -> None:
        self._reopen: partial[StreamView] | None = None
        self._source = source
        self._dynamic = dynamic
        self._strict = strict
        self._changed: SignalInstance | None = None
        self._signal_lock = threading.Lock()

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self._source.dims

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Dtype of the pixels."""
        return self._source.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._source.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents reached so far (``dynamic_shape=True``), otherwise planned extents.

        Unbounded axes always have the extent reached so far.
        """
        return self._extents()[0]

    def _extents(self) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
        """Return `shape`, and the planned extents of all axes."""
        reached, planned = self._source.extents()
        if self._dynamic:
            return reached, planned
        return tuple(
            [m if n is None else n for m, n in zip(reached, planned, strict=True)]
        ), planned

    @property
    def coords(self) -> Mapping[str, Sequence[Any]]:
        """Coordinates by axis, each as long as the axis is now.

        Names of channels, positions (``"A1/f0"`` on a plate) and cameras; numbers in the axis' unit where the scale is
        known; otherwise a range.
        """
        shape, dimensions = self.shape, self._source.dimensions()
        coords: dict[str, Sequence[Any]] = dict(zip(self.dims, map(range, shape), strict=True))
        for name, dim, extent in zip(self.dims, dimensions, shape, strict=False):
            coords[name] = physical_coords(dim, extent)
        return coords

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Type, scale, unit, and channels or positions of the axes; empty for a view of arrays."""
        return tuple(self._source.dimensions())

    @property
    def units(self) -> Mapping[str, str]:
        """NGFF names of the units of `coords`, for axes of known scale."""
        named = zip(self.dims, self._source.dimensions(), strict=False)
        return {name: d.unit for name, d in named if d.unit and (d.scale or _is_numeric(d))}

    @property
    def coords_changed(self) -> SignalInstance:
        """Psygnal signal without arguments, emitted after extents have grown.

        It is emitted on the thread of the Qt application, if one is running, otherwise on the event thread of the
        stream. Several changes may be combined into one emission.
        """
        with self._signal_lock:
            if self._changed is None:
                self._changed = guarded_signal_class()((), instance=self, name="coords_changed")
                self._source.watch(emitter(self._changed))
            return self._changed

    def __len__(self) -> int:
        return self.shape[0]

    def reached(self) -> tuple[int, ...]:
        """Return the extent reached so far of each axis before y."""
        return self._source.extents()[0][: len(self._source.names)]

    def summary(self) -> Summary:
        """Return path, state and numbers of frames."""
        return self._source.summary()

    def newest_time_point(self) -> int | None:
        """Return the index of the newest complete time point; None without a time axis."""
        return newest_time_point(self)

    def __repr__(self) -> str:
        return summary_line("StreamView", self)

    def _repr_html_(self) -> str:
        return html_summary("StreamView", self)

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        """Return a new array with the selected frames or parts of frames.

        `key`: integers, slices, Ellipsis, names of channels, positions or cameras, and one list of integers or names
        (``view[:, [0, 2]]``), whose axis stays where it is, as in h5py. A name alone, ``view["DAPI"]``, is found along
        the axis that has it. A slice may stop after the extent reached so far, up to the planned extent; it reads as 0
        there.

        Raises IndexError if a name is unknown, or an integer is outside of the shape (``strict=True``) or of the
        planned extent.
        """
        source, (shape, planned) = self._source, self._extents()
        rank, dtype = len(source.names), source.dtype
        keys = normalize_index(key, len(shape), self._names)
        axes = zip(keys[:rank], shape, planned, source.names, strict=False)
        selected = [select_indices(*axis, strict=self._strict) for axis in axes]
        indices = [[s] if isinstance(s, int) else s for s in selected]
        part = tuple(keys[rank:])
        in_order = any(isinstance(k, list) for k in part)  # numpy would move the axis of the list
        empty = np.empty(shape[rank:], np.bool_)
        part_shape = (take_part(empty, part) if in_order else empty[part]).shape
        count = math.prod(map(len, indices))
        if count > 1 or in_order:  # one frame was checked when the view was made
            check_memory((count, *part_shape, dtype.itemsize), "the selection")
        out = np.zeros((count, *part_shape), dtype)
        region = None
        if out.size and any(k != slice(None) for k in part[:2]):
            region = enclosing_region(part, shape[rank:])
        if out.size:
            for n, index in enumerate(itertools.product(*indices)):
                plane = source.plane(index, region)
                if plane is None:
                    continue
                if plane.shape != shape[rank:] != self.shape[rank:]:  # the stream has restarted
                    return self[key]
                out[n] = take_part(plane, part) if in_order else plane[part]
        return out.reshape((*(len(s) for s in selected if not isinstance(s, int)), *part_shape))

    def _names(self) -> Mapping[str, Sequence[Any]]:
        """Return the coordinates of all planned indices, by axis."""
        named = zip(self.dims, self._source.dimensions(), strict=False)
        return {name: coordinates(dim, len(dim.coords or ())) for name, dim in named}

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        if copy is False:
            raise ValueError(
                "copy=False is not possible: a StreamView is assembled from its frames when it is read."
            )
        return np.asarray(self[...], dtype=dtype)

    def to_xarray(self) -> xarray.DataArray:
        """Return the current view as an `xarray.DataArray`, lazy if dask is installed.

        Its name is that of the dataset, its coordinates are `coords`, each with its unit. The attributes can be stored
        in netCDF and Zarr: `path`, `channel_colors` (hex), `pixel_size` (y, x) and `pixel_size_unit`.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        from ome_writers.views.labelled_arrays import to_xarray

        return to_xarray(self)

    def to_dask(self, chunks: Any = None) -> dask.array.Array:
        """Return the view, with its current shape, as a lazy `dask.array.Array`.

        Workers in other processes open the dataset by its path, which must be the same for them. A view of a stream
        can be computed in this process only.

        Parameters
        ----------
        chunks
            As dask takes it, or extents by axis name (``{"t": 1}``; -1 is the whole axis). By default a whole shard of
            an OME-Zarr, a chunk without sharding, and a frame of an OME-TIFF. Each is read by one task.

        Raises
        ------
        ImportError
            If dask is not installed.
        """
        from ome_writers.views.labelled_arrays import to_dask

        return to_dask(self, self._source.chunks(), chunks)

    def __reduce__(self) -> Any:
        if self._reopen is None:
            path = self.summary().path
            raise TypeError(
                f"This StreamView of {path or 'arrays in memory'} reads the memory of this process and cannot be "
                f"pickled. Pickle ome_writers.open(path) instead, which reads the files."
            )
        return self._reopen.func, self._reopen.args


def _is_numeric(dimension: Dimension) -> bool:
    return all(isinstance(c, (int, float)) for c in dimension.coords or ("",))
