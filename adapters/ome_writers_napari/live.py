"""Layers that grow while an acquisition runs."""

# napari and Qt are optional
# pyright: reportMissingImports=false
from __future__ import annotations

import time
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers import OMEStream, StreamView
from ome_writers_napari.labels import StoredLabels, StreamLabels
from ome_writers_napari.layers import LayerSource

if TYPE_CHECKING:
    import napari

_MIN_INTERVAL_S = 0.2
_MAX_INTERVAL_S = 5.0
_MAX_CPU_SHARE = 0.05  # of one core, so that an acquisition in the same process keeps its rate
_running: set[LiveLayers] = set()  # keeps them alive: the application knows only their timers


def add_live(
    viewer: napari.Viewer, source: OMEStream | StreamView | str | PathLike[str]
) -> LiveLayers:
    """Add a layer per channel, and one per name of labels over them, and update the layers until the acquisition ends.

    Positions share a layer, at their stage coordinates; if these are far apart, each position has its own layers. The
    time slider follows the newest complete time point, until the user moves it. Contrast limits that the dataset does
    not define follow the data, until the user changes them.

    Parameters
    ----------
    viewer
        The viewer. The function must be called on the thread of its Qt application.
    source
        A stream or the view of one (``mmc.mda.get_view()``), or the path of a dataset, complete or being written by
        another process.

    Returns
    -------
    LiveLayers
        The layers, and `LiveLayers.stop`.
    """
    if isinstance(source, OMEStream):
        layers = LayerSource(source.view(), labels=StreamLabels(source))
    elif isinstance(source, StreamView):
        path = source.summary().path
        layers = LayerSource(source, labels=StoredLabels(path) if path else None)
    else:
        layers = LayerSource.open(source)
    return LiveLayers(viewer, layers)


def show(path: str | PathLike[str]) -> None:
    """Open a dataset in a new window, live if it is being written, and return when the window is closed."""
    import napari

    viewer = napari.Viewer(title=Path(path).resolve().name)
    add_live(viewer, path)
    napari.run()


class LiveLayers:
    """The layers of one acquisition in a viewer; `add_live` creates it.

    Attributes
    ----------
    layers
        The napari layers by `ViewerLayer.key`.
    """

    def __init__(self, viewer: napari.Viewer, source: LayerSource) -> None:
        from qtpy.QtCore import QTimer

        self.layers: dict[tuple[int | str, ...], Any] = {}
        self._viewer = viewer
        self._source = source
        self._contrast: dict[tuple[int | str, ...], tuple[float, float]] = {}
        self._shape: tuple[object, ...] = ()
        self._frames: object = -1
        self._step: int | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._poll)
        _running.add(self)
        self._poll()

    @property
    def active(self) -> bool:
        """Whether the layers are being updated."""
        return self in _running

    def stop(self) -> None:
        """Stop updating; the layers stay."""
        self._timer.stop()
        _running.discard(self)

    def _poll(self) -> None:
        start, cpu_start = time.monotonic(), time.thread_time()
        # before the update, so that the last one is complete
        growing = self._source.view.summary().growing
        if self.layers and not any(layer in self._viewer.layers for layer in self.layers.values()):
            self.stop()
            return
        known = len(self.layers)
        try:
            self._update()
        except BaseException:
            self.stop()
            raise
        if growing:
            pause = _MIN_INTERVAL_S
            if len(self.layers) == known:  # adding a layer takes much longer than updating it
                # after a slow read, the window reacts for as long as it was blocked
                busy = (time.thread_time() - cpu_start) / _MAX_CPU_SHARE
                pause = max(pause, min(max(time.monotonic() - start, busy), _MAX_INTERVAL_S))
            self._timer.start(int(1000 * pause))
        else:
            self.stop()

    def _update(self) -> None:
        labels = self._source.labels
        names, planes = ((), None) if labels is None else ((*labels.labels(),), labels.frames())
        shape = (self._source.view.shape, names)
        frames = (self._source.view.summary().frames, planes)
        if shape != self._shape:
            self._shape = shape
            self._grow()
            self._follow()
        elif not self._follow() and frames != self._frames:
            for layer in self.layers.values():
                layer.refresh()
        self._frames = frames
        self._adapt_contrast()

    def _grow(self) -> None:
        for layer in self._source.layers():
            shown = self.layers.get(layer.key)
            if shown is None:
                if layer.kind == "labels":
                    self.layers[layer.key] = self._viewer.add_labels(layer.data, **layer.options)
                    continue
                self.layers[layer.key] = self._viewer.add_image(layer.data, **layer.options)
                self._contrast[layer.key] = layer.options["contrast_limits"]
            elif shown in self._viewer.layers:
                shown.data = layer.data

    def _follow(self) -> bool:
        """Move the time slider to the newest complete time point, unless the user has moved it.

        Returns whether it has moved, so that napari has read the layers again.
        """
        axis, newest = self._source.newest_time_point()
        if axis is None or not self.layers:
            return False
        dims = self._viewer.dims
        step = dims.current_step[axis]
        if self._step in (None, step):
            dims.set_current_step(axis, newest)
            self._step = dims.current_step[axis]
        return bool(dims.current_step[axis] != step)

    def _adapt_contrast(self) -> None:
        for key, last in [*self._contrast.items()]:
            layer, limits = self.layers[key], self._source.contrast(key)
            if limits not in (None, last) and tuple(layer.contrast_limits) == tuple(last):
                layer.contrast_limits = limits
                self._contrast[key] = limits
