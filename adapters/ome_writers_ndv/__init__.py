"""Show datasets and running acquisitions in ndv, with the names, colors, contrast and scale of the dataset.

Importing this module registers `StreamViewWrapper` with ndv, so that every ndv viewer takes channel axis and scale from
a `StreamView`. ndv takes colors from its display model only: `imshow` sets them, `display_options` returns them for
`ndv.imshow` and `ndv.ArrayViewer`.
"""

# ndv is optional
# pyright: reportMissingImports=false
from __future__ import annotations

import weakref
from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

try:
    import ndv
except ModuleNotFoundError as error:
    if error.name != "ndv":
        raise
    raise ModuleNotFoundError(
        'ome_writers_ndv needs ndv: pip install "ome-writers[ndv]"', name=error.name
    ) from error

import ome_writers
from ome_writers import Channel, OMEStream, OMEWritersError, StreamView

__all__ = ["StreamViewWrapper", "create_viewer", "display_options", "imshow", "show"]

_POLL_INTERVAL_MS = 250


class StreamViewWrapper(ndv.DataWrapper[StreamView]):
    """ndv's access to a `StreamView`."""

    PRIORITY = 10  # before the wrapper of any array

    _current_coords: Mapping[Hashable, Sequence[Any]] | None = None

    @classmethod
    def supports(cls, obj: Any) -> bool:
        """Return whether `obj` is a `StreamView`."""
        return isinstance(obj, StreamView)

    @property
    def coords(self) -> Mapping[Hashable, Sequence[Any]]:
        """Coordinates by axis, see `StreamView.coords`."""
        coords = self._current_coords  # ndv asks for them several times per frame
        if coords is None or tuple(map(len, coords.values())) != self.data.shape:
            coords = self._current_coords = dict(self.data.coords)
        return coords

    def guess_channel_axis(self) -> Hashable | None:
        """Return the number of the channel axis or of the RGB samples; None without one."""
        view = self.data
        if view.dims[-1] == "s":
            return len(view.dims) - 1
        return next((i for i, d in enumerate(view.dimensions) if d.type == "channel"), None)

    def axis_scales(self) -> dict[Hashable, float]:
        """Return the distance between neighbours along each axis of known scale."""
        named = zip(self.data.dims, self.data.dimensions, strict=False)
        return {name: abs(d.scale) for name, d in named if d.scale}


def display_options(view: StreamView) -> dict[str, Any]:
    """Return keyword arguments for `ndv.imshow` and `ndv.ArrayViewer` that show all channels in their colors.

    Contrast limits are those of the dataset, if it defines them; otherwise ndv derives them from each frame. A z-stack
    starts at its middle plane.
    """
    dims = view.dims
    depth = [d for d in view.dimensions[:-2] if d.type == "space"]
    options: dict[str, Any] = {"current_index": {d.name: ((d.count or 1) - 1) // 2 for d in depth}}
    if dims[-1] == "s":
        return {**options, "channel_mode": "rgba", "channel_axis": -1, "visible_axes": (-3, -2)}
    axis = next((i for i, d in enumerate(view.dimensions) if d.type == "channel"), None)
    if axis is None:
        return options
    windows = _windows(view)
    luts: dict[int, dict[str, Any]] = {}
    for i, channel in enumerate(view.dimensions[axis].coords or ()):
        luts[i] = {"name": str(getattr(channel, "name", channel))}
        color = channel.display_color if isinstance(channel, Channel) else None
        if color is not None:
            luts[i]["cmap"] = ["#000000", color.as_hex("long")[:7]]  # without alpha
        if i in windows:
            luts[i]["clims"] = windows[i]
    return {**options, "channel_mode": "composite", "channel_axis": dims[axis], "luts": luts}


def create_viewer(
    source: OMEStream | StreamView | str | PathLike[str], **options: Any
) -> ndv.ArrayViewer:
    """Return an ndv viewer that follows the source until the acquisition ends.

    Parameters
    ----------
    source
        A stream or the view of one (``mmc.mda.get_view()``), or the path of a dataset, complete or being written.
    **options
        Arguments of `ndv.ArrayViewer`; they replace those of `display_options`.
    """
    if isinstance(source, OMEStream):
        view = source.view()
    else:
        view = source if isinstance(source, StreamView) else ome_writers.open(source)
    viewer = ndv.ArrayViewer(view, **{**display_options(view), **options})
    _Follower(viewer, view).poll()
    return viewer


def imshow(source: OMEStream | StreamView | str | PathLike[str], **options: Any) -> ndv.ArrayViewer:
    """Show `create_viewer(source)` and run the application, as `ndv.imshow` does."""
    viewer = create_viewer(source, **options)
    viewer.show()
    ndv.run_app()
    return viewer


def show(path: str | PathLike[str]) -> None:
    """Open a dataset in a new window, live if it is being written, and return when the window is closed."""
    imshow(path)


class _Follower:
    """Updates a viewer while its view grows, and moves the time slider to the newest complete time point."""

    def __init__(self, viewer: ndv.ArrayViewer, view: StreamView) -> None:
        self._viewer = weakref.ref(viewer)
        self._view = view
        self._state: object = None
        self._time = next((d.name for d in view.dimensions if d.type == "time"), None)
        self._shown: int | None = None

    def poll(self) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        summary, shape = self._view.summary(), self._view.shape
        changed = self._state not in (None, (shape, summary.frames))
        self._state = (shape, summary.frames)
        if changed:
            viewer.data_wrapper.dims_changed.emit()
        index = viewer.display_model.current_index
        newest = step = index.get(self._time, 0)
        if self._time is not None and self._shown in (None, step):
            newest = self._shown = self._view.newest_time_point() or 0
        if newest != step:
            index[self._time] = newest  # ndv reads the frames
        elif changed:
            viewer.data_wrapper.data_changed.emit()
        if summary.growing:
            # a lambda: PyQt keeps only a weak reference to the object of a bound method
            ndv.call_later(_POLL_INTERVAL_MS, lambda: self.poll())


def _windows(view: StreamView) -> dict[int, tuple[float, float]]:
    """Return the contrast window of each channel in the metadata of a complete dataset."""
    summary = view.summary()
    if not summary.path or summary.growing or not Path(summary.path).exists():
        return {}
    try:
        channels = ome_writers.read(summary.path).images[0].channels
    except OMEWritersError:
        return {}
    return {i: c.window for i, c in enumerate(channels) if c.window is not None}
