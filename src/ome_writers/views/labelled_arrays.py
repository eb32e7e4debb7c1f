"""Views as arrays of dask and xarray."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.settings import Dimension, split_suffix
from ome_writers.views.source import LabelledArray

if TYPE_CHECKING:
    import dask.array
    import xarray


def to_dask(view: LabelledArray, stored: Sequence[int], chunks: Any = None) -> dask.array.Array:
    """Return `view.to_dask(chunks)`; `stored` are the extents of a shard, along all axes."""
    try:
        import dask.array
    except ModuleNotFoundError as error:
        raise _missing(error, "to_dask", "dask", "numpy.asarray(view)") from error
    if chunks is None or isinstance(chunks, Mapping):
        extents = {**dict(zip(view.dims, stored, strict=True)), **(chunks or {})}
        if unknown := extents.keys() - set(view.dims):
            raise ValueError(
                f"chunks names {sorted(unknown, key=str)}, but the axes are {', '.join(view.dims)}."
            )
        chunks = tuple(extents[dim] for dim in view.dims)
    # by default, from_array derives the name by hashing all data; two calls must have different names
    name = f"ome-writers-{uuid.uuid4().hex}"
    from_array: Any = dask.array.from_array  # dask does not annotate it
    array: dask.array.Array = from_array(
        _FixedShape(view, view.shape),
        chunks=chunks,
        name=name,
        asarray=True,
        fancy=False,
        inline_array=True,
    )
    return array


def to_xarray(view: LabelledArray) -> xarray.DataArray:
    """Return `view.to_xarray()`."""
    try:
        import xarray
    except ModuleNotFoundError as error:
        raise _missing(error, "to_xarray", "xarray", "view.coords and view.units") from error
    coords, units = view.coords, view.units
    data: Any
    try:
        data = view.to_dask()
    except ImportError:
        data = np.asarray(view)
    data = data[tuple(slice(len(values)) for values in coords.values())]  # the view may have grown
    path = view.summary().path
    return xarray.DataArray(
        data,
        dims=view.dims,
        coords={
            dim: (dim, list(values), {"units": units[dim]} if dim in units else {})
            for dim, values in coords.items()
        },
        name=split_suffix(Path(path).name)[0] or None,
        attrs=_attributes(path, view.dimensions),
    )


def _missing(
    error: ModuleNotFoundError, method: str, library: str, instead: str
) -> ModuleNotFoundError:
    """Return the error of a method whose library, or one that it needs, is not installed."""
    return ModuleNotFoundError(
        f"StreamView.{method}() needs {error.name or library}, which is not installed: pip install "
        f"{error.name or library}. Without it, use {instead}.",
        name=error.name,
    )


def _attributes(path: str, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    attributes: dict[str, Any] = {"path": path} if path else {}
    channels = next((d.coords or () for d in dimensions if d.type == "channel"), ())
    colors = [getattr(channel, "color", None) for channel in channels]
    if any(colors):
        attributes["channel_colors"] = [color.as_hex("long") if color else "" for color in colors]
    frame = dimensions[-2:]
    if frame and all(dim.scale for dim in frame):
        attributes["pixel_size"] = [dim.scale for dim in frame]
        if frame[1].unit:
            attributes["pixel_size_unit"] = frame[1].unit
    return attributes


class _FixedShape:
    """A view whose shape does not change, as dask expects of an array."""

    def __init__(self, view: LabelledArray, shape: tuple[int, ...]) -> None:
        self._view = view
        self.shape = shape
        self.dtype = view.dtype
        self.ndim = len(shape)

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        return self._view[key]
