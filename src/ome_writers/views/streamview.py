"""The whole acquisition as one read-only array, in the order in which it is acquired."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.untrusted import check_memory
from ome_writers.views.indexing import one_key_an_axis, pick
from ome_writers.views.live import LiveSource
from ome_writers.views.signals import deliver, guarded_signal_class
from ome_writers.views.stacked import StackedSource
from ome_writers.views.summary import html_of, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from psygnal import SignalInstance
    from typing_extensions import Self

    from ome_writers.views.source import Source, Stream
    from ome_writers.views.summary import Summary

__all__ = ["StreamView"]


class StreamView:
    """A read-only array of the whole acquisition, live and after close.

    Its axes are the dimensions of the settings in acquisition order; that of the positions is called ``p``, and
    RGB frames have a last axis ``s`` of three samples. What was not written reads as 0. An index
    reads the frames that it touches and no others. All methods may be called from any thread, also
    while frames are appended.

    Views of a stream come from `OMEStream.view`, views of a dataset from `ome_writers.open`.

    Parameters
    ----------
    arrays
        One array-like an image, in storage order, y and x last.
    position_axis
        Where the axis of images stands in the acquisition order; None: the first array alone.
    acquisition_order_perm
        For each acquisition axis (positions left out) its place in storage order.
    dimension_labels
        Names of all axes, in acquisition order; left out: ``d0``, ``d1``, ...
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        *,
        position_axis: int | None = 0,
        acquisition_order_perm: tuple[int, ...] | None = None,
        dimension_labels: Sequence[str] = (),
    ) -> None:
        self._begin(StackedSource(arrays, position_axis, acquisition_order_perm, dimension_labels))

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
            Whether an integer index outside of the shape raises IndexError; otherwise it reads as 0.
        """
        return cls.over(LiveSource(stream), dynamic_shape=dynamic_shape, strict=strict)

    @classmethod
    def over(cls, source: Source, *, dynamic_shape: bool = False, strict: bool = False) -> Self:
        """Return a view of any `Source`."""
        view = cls.__new__(cls)
        view._begin(source, dynamic=dynamic_shape, strict=strict)
        return view

    def _begin(self, source: Source, *, dynamic: bool = False, strict: bool = False) -> None:
        self._source = source
        self._dynamic = dynamic
        self._strict = strict
        self._changed: SignalInstance | None = None
        self._connecting = threading.Lock()

    # ------------------------------------------------------------------ what it is

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
        return len(self._source.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """What was reached so far (``dynamic_shape=True``), else what is planned.

        An axis without end has the length that it has reached, either way.
        """
        planned = self._source.planned()
        reached = self._source.reached() if self._dynamic or None in planned else ()
        rank = self._source.rank
        if self._dynamic:
            return (*reached, *(n or 0 for n in planned[rank:]))
        return tuple(reached[i] if n is None else n for i, n in enumerate(planned))

    @property
    def coords(self) -> Mapping[str, Sequence[Any]]:
        """A sequence of coordinates an axis: names of channels and positions, else a range."""
        return self._source.coords(self.shape)

    @property
    def coords_changed(self) -> SignalInstance:
        """A psygnal signal without arguments: a new extent was reached.

        Where a Qt application runs it is emitted in that application's thread, else on the thread of the
        stream's events. Several new extents may be told at once.
        """
        with self._connecting:
            if self._changed is None:
                self._changed = guarded_signal_class()((), instance=self, name="coords_changed")
                self._source.watch(_emission(self._changed))
            return self._changed

    def __len__(self) -> int:
        return self.shape[0]

    def reached(self) -> tuple[int, ...]:
        """Return how far each axis before y was reached so far."""
        return self._source.reached()

    def summary(self) -> Summary:
        """Return path, state and numbers of frames, for display."""
        return self._source.summary()

    def __repr__(self) -> str:
        return line_of("StreamView", self)

    def _repr_html_(self) -> str:
        return html_of("StreamView", self)

    # ------------------------------------------------------------------ what it holds

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        """Return a new array of the frames, or parts of frames, at `key`: integers, slices, Ellipsis.

        A slice that ends beyond what was reached reads as 0 there, up to what is planned.

        Raises
        ------
        IndexError
            If an integer lies outside: of the shape (``strict=True``), or of what will ever be there.
        """
        rank, shape, planned = self._source.rank, self.shape, self._source.planned()
        keys = one_key_an_axis(key, len(shape))
        picked = [
            pick(k, n, most, strict=self._strict, name=name)
            for k, n, most, name in zip(keys[:rank], shape, planned, self.dims, strict=False)
        ]
        places = [[p] if isinstance(p, int) else p for p in picked]
        part = tuple(keys[rank:])
        part_shape = np.empty(shape[rank:], np.bool_)[part].shape
        count = math.prod(map(len, places))
        check_memory((count, *part_shape, self.dtype.itemsize), "what was selected")
        out = np.zeros((count, *part_shape), self.dtype)
        if out.size:
            for n, index in enumerate(itertools.product(*places)):
                plane = self._source.plane(index)
                if plane is not None:
                    out[n] = plane[part]
        return out.reshape((*(len(p) for p in picked if not isinstance(p, int)), *part_shape))

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        if copy is False:
            raise ValueError(
                "A StreamView is put together when it is read: it cannot be had without a copy."
            )
        return np.asarray(self[...], dtype=dtype)

    def to_xarray(self) -> Any:
        """Return the view, as it is now, as an `xarray.DataArray`; lazy where dask is installed.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        import xarray

        try:
            data = self.to_dask()
        except ImportError:
            data = np.asarray(self)
        coords = self._source.coords(data.shape)
        return xarray.DataArray(
            data, dims=self.dims, coords={d: list(c) for d, c in coords.items()}
        )

    def to_dask(self) -> Any:
        """Return the view, with the shape that it has now, as a lazy `dask.array.Array` of one chunk a frame.

        Raises
        ------
        ImportError
            If dask is not installed.
        """
        import uuid

        import dask.array

        shape = self.shape
        chunks = tuple(1 if i < self._source.rank else max(n, 1) for i, n in enumerate(shape))
        # from_array makes a name by reading everything; the name must also differ between two moments
        name = f"ome-writers-{uuid.uuid4().hex}"
        frozen = _Frozen(self, shape)
        from_array: Any = dask.array.from_array  # dask has no type information for it
        return from_array(frozen, chunks=chunks, name=name, asarray=True, fancy=False)


class _Frozen:
    """A view with the shape that it had at one moment, as dask expects of an array."""

    def __init__(self, view: StreamView, shape: tuple[int, ...]) -> None:
        self._view = view
        self.shape = shape
        self.dtype = view.dtype
        self.ndim = len(shape)

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        return self._view[key]


def _emission(signal: SignalInstance) -> Callable[[], None]:
    """Return a function that has `signal` emitted on the right thread, as long as somebody holds it.

    However often it is called, no more than one emission waits for a thread that is busy.
    """
    held = weakref.ref(signal)
    waiting = threading.Event()

    def emit() -> None:
        waiting.clear()
        signal = held()
        if signal is not None:
            signal.emit()

    def request() -> None:
        if not waiting.is_set():
            waiting.set()
            deliver(emit)

    return request
