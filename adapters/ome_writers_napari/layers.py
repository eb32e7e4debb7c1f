"""Layers of a dataset: an array of each channel, and its name, color, contrast, scale and position in the viewer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

import ome_writers
from ome_writers import (
    Camera,
    Channel,
    DatasetSpec,
    Dimension,
    Position,
    StreamView,
    UnsupportedError,
)
from ome_writers_napari.labels import LabelImages, LabelSource, StoredLabels
from ome_writers_napari.layouts import PlaneLayout, plane_layout
from ome_writers_napari.stacks import FrameStack, IntensityRange, mosaics

# positions with a layer each; more share a layer, which napari draws and lists much faster
_MAX_SEPARATE = 16
_COLORS = ("cyan", "magenta", "yellow", "red", "green", "blue")
_RGB = ("red", "green", "blue")
_MICROMETERS = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}
_LABEL_OPACITY = 0.5


class ViewerLayer(NamedTuple):
    """One layer of an image or its labels."""

    # Image number (-1 if the layer shows all images), and the index on each channel axis, or the name of the labels.
    # The same layer has the same key at any time.
    key: tuple[int | str, ...]
    levels: list[Any]  # arrays, full resolution first
    options: dict[str, Any]  # keyword arguments of `napari.layers.Image` or `Labels`
    kind: str = "image"  # or "labels"

    @property
    def data(self) -> Any:
        """What napari takes as the data of the layer."""
        return self.levels if self.options["multiscale"] else self.levels[0]


class LayerSource:
    """The layers of a view at any time.

    `levels` are the views of further resolution levels, and `windows` maps channel indices to the contrast windows of
    the metadata. `labels` are shown over the images.
    """

    def __init__(
        self,
        view: StreamView,
        levels: Sequence[StreamView] = (),
        windows: Mapping[int, tuple[float, float]] | None = None,
        labels: LabelSource | None = None,
    ) -> None:
        self.view = view
        self.labels = labels
        self._levels = levels
        self._windows = dict(windows or {})
        self._intensities: dict[tuple[int, ...], IntensityRange] = {}
        dimensions = view.dimensions
        self._position_axis = next(
            (i for i, d in enumerate(dimensions) if d.type == "position"), None
        )
        self._channel_axes = [
            i
            for i, d in enumerate(dimensions)
            if d.type == "channel" or any(isinstance(c, Camera) for c in d.coords or ())
        ]
        if len(self._channel_axes) > 1:  # cameras, whose channels differ
            self._windows.clear()
        for axis in self._channel_axes[:1]:
            for i, channel in enumerate(dimensions[axis].coords or ()):
                if isinstance(channel, Channel) and channel.window is not None:
                    self._windows[i] = channel.window

    @classmethod
    def open(cls, path: str | PathLike[str]) -> LayerSource:
        """Return the layers of a dataset on disk; only those at full resolution while it is being written."""
        spec, view = ome_writers.read(path), ome_writers.open(path)
        labels = StoredLabels(path)
        if spec.status == "writing":
            return cls(view, labels=labels)
        levels = []
        for level in range(1, min(len(image.levels) for image in spec.images)):
            try:
                levels.append(ome_writers.open(path, level=level))
            except UnsupportedError:  # several cameras
                break
        return cls(view, levels, _windows(spec), labels)

    def contrast(self, key: tuple[Any, ...]) -> tuple[float, float] | None:
        """Return the contrast limits of a layer: its window, otherwise the range of the frames read so far."""
        if key[1:] and key[1] in self._windows:
            return self._windows[key[1]]
        limits = self._intensities[key[1:]].limits
        return limits if limits is None or limits[0] < limits[1] else (limits[0], limits[0] + 1)

    def layers(self) -> list[ViewerLayer]:
        """Return the layers of the frames reached so far; empty before the first one."""
        shape = self.view.shape
        if 0 in shape:
            return []
        reached = 1 if self._position_axis is None else shape[self._position_axis]
        positions = self._positions(reached)
        frame = (shape[-3], shape[-2]) if self._has_samples else (shape[-2], shape[-1])
        layout = plane_layout(positions, frame, self._pixel_size())
        together = len(positions) > 1 and (layout.is_dense or positions[0].plate_row is not None)
        rgb = self._has_samples and self.view.dtype == np.uint8 and not together
        split = list(self._channel_axes)
        if self._has_samples and not rgb:
            split.append(len(shape) - 1)
        found = []
        for index in itertools.product(*(range(shape[axis]) for axis in split)):
            fixed = dict(zip(split, index, strict=True))
            for image in [-1] if together else range(reached):
                levels = self._levels_of(fixed, range(reached) if together else [image], shape)
                options = self._options(fixed, shape)
                if not together and len(positions) > 1:
                    options["name"] = f"{_label(positions[image])} {options['name']}".strip()
                arrays: list[Any] = [s[0] for s in levels]
                if together:
                    arrays = [*mosaics(levels, layout)]
                options.update(
                    name=options["name"] or "image",
                    translate=self._translate(
                        layout, (0, 0) if together else layout.offsets[image]
                    ),
                    rgb=rgb,
                    multiscale=len(arrays) > 1,
                    contrast_limits=self._first_contrast((image, *index), levels[0][0], 2 + rgb),
                )
                found.append(ViewerLayer((image, *index), arrays, options))
        for name, labels in ({} if self.labels is None else self.labels.labels()).items():
            for image in [-1] if together else range(reached):
                images = range(reached) if together else [image]
                levels = self._label_levels(labels, images, shape)
                options = self._axis_options()
                options["name"] = name
                if not together and len(positions) > 1:
                    options["name"] = f"{_label(positions[image])} {name}"
                arrays = [*mosaics(levels, layout)] if together else [s[0] for s in levels]
                options.update(
                    translate=self._translate(
                        layout, (0, 0) if together else layout.offsets[image]
                    ),
                    multiscale=len(arrays) > 1,
                    opacity=_LABEL_OPACITY,
                )
                if labels.colors:
                    options["colormap"] = {None: "gray", 0: "transparent", **labels.colors}
                found.append(ViewerLayer((image, name), arrays, options, "labels"))
        return found

    def newest_time_point(self) -> tuple[int | None, int]:
        """Return the number of the time axis of the layers, from the last axis, and the newest complete index on it."""
        axes = self._axes()
        axis = next((i for i, d in enumerate(axes) if d.type == "time"), None)
        if axis is None:
            return None, 0
        return axis - len(axes), self.view.newest_time_point() or 0

    @property
    def _has_samples(self) -> bool:
        return self.view.dims[-1] == "s"

    def _positions(self, reached: int) -> list[Position]:
        """Return a position per image, also of those that are planned, so that the layout does not change."""
        if self._position_axis is None:
            return [Position(name="image")]
        coords = self.view.dimensions[self._position_axis].coords or ()
        return [
            c if isinstance(c, Position) else Position(name=str(c))
            for c in (*coords, *range(len(coords), reached))
        ]

    def _pixel_size(self) -> tuple[float, float] | None:
        """Return height and width of a pixel in micrometers."""
        y, x = self.view.dimensions[-2:]
        if not y.scale or not x.scale:
            return None
        return y.scale * _micrometers(y), x.scale * _micrometers(x)

    def _levels_of(
        self, fixed: Mapping[int, int], images: Sequence[int], shape: Sequence[int]
    ) -> list[list[FrameStack]]:
        """Return the stacks of some images, by level."""
        channel = tuple(fixed.values())
        intensities = self._intensities.setdefault(channel, IntensityRange())
        found = []
        for view in (self.view, *self._levels):
            extents = shape if view is self.view else view.shape
            stacks = []
            for image in images:
                axis = {} if self._position_axis is None else {self._position_axis: image}
                stacks.append(FrameStack(view, extents, {**fixed, **axis}, intensities))
            found.append(stacks)
        return found

    def _label_levels(
        self, labels: LabelImages, images: Sequence[int], shape: Sequence[int]
    ) -> list[list[Any]]:
        """Return the labels of some images with the axes of the layers, by level."""
        axes = [d.name for d in self._axes()]
        hidden = {*self._channel_axes, self._position_axis}
        found = []
        views = (self.view, *self._levels)
        for level, view in enumerate(views[: len(labels.views)]):
            extents = (shape if view is self.view else view.shape)[: len(view.dimensions)]
            kept = [n for axis, n in enumerate(extents) if axis not in hidden]
            found.append([labels.stack(level, image, axes, kept) for image in images])
        return found

    def _first_contrast(
        self, key: tuple[int, ...], stack: FrameStack, frame_axes: int
    ) -> tuple[float, float]:
        """Return `contrast`, after a look at the first, middle and last frame if no frame has been read."""
        if self.contrast(key) is None:
            for part in (0.0, 0.5, 1.0):
                stack[tuple(int(part * (n - 1)) for n in stack.shape[:-frame_axes])]
        return self.contrast(key) or (0.0, 1.0)

    def _options(self, fixed: Mapping[int, int], shape: Sequence[int]) -> dict[str, Any]:
        """Return the options that all images of a channel share."""
        names, color, several = [], None, False
        for axis, i in fixed.items():
            if axis >= len(self.view.dimensions):
                names.append(_RGB[i])
                color, several = _RGB[i], True
                continue
            dimension = self.view.dimensions[axis]
            items = dimension.coords or []
            several |= max(shape[axis], len(items)) > 1
            item = items[i] if i < len(items) else None
            names.append(f"{dimension.name} {i}" if item is None else _label(item))
            if isinstance(item, Channel) and item.display_color is not None:
                color = item.display_color.as_hex("long")[:7]  # without alpha
        if color is None:
            color = _COLORS[next(iter(fixed.values())) % len(_COLORS)] if several else "gray"
        return {
            "name": " ".join(names),
            "colormap": color,
            "blending": "additive" if several else "translucent",
            "projection_mode": "none",  # read the frame of the slider only; the default is the mean of a slice
            **self._axis_options(),
        }

    def _axis_options(self) -> dict[str, Any]:
        axes = self._axes()
        return {
            "scale": [d.scale or 1.0 for d in axes],
            "axis_labels": [d.name for d in axes],
            "units": [(d.scale and d.unit) or "pixel" for d in axes],
        }

    def _axes(self) -> list[Dimension]:
        split = {*self._channel_axes, self._position_axis}
        return [d for i, d in enumerate(self.view.dimensions) if i not in split]

    def _translate(self, layout: PlaneLayout, offset: tuple[float, float]) -> list[float]:
        axes = self._axes()
        translate = [float(d.translation or 0.0) for d in axes]
        for axis, stage, pixels in zip((-2, -1), layout.origin, offset, strict=True):
            scale = axes[axis].scale or 1.0
            translate[axis] += stage / _micrometers(axes[axis]) + pixels * scale
        return translate


def _label(item: object) -> str:
    """Return the name of a channel, camera or position; that of a position on a plate follows its well."""
    name = str(getattr(item, "name", item))
    row = getattr(item, "plate_row", None)
    return f"{row}{getattr(item, 'plate_column', '')}/{name}" if row else name


def _micrometers(axis: Dimension) -> float:
    return _MICROMETERS.get(axis.unit or "", 1.0)


def _windows(spec: DatasetSpec) -> dict[int, tuple[float, float]]:
    """Return the contrast window of each channel that includes those of all images."""
    windows: dict[int, tuple[float, float]] = {}
    for image in spec.images:
        for i, channel in enumerate(image.channels):
            if channel.window is not None:
                low, high = windows.get(i, channel.window)
                windows[i] = (min(low, channel.window[0]), max(high, channel.window[1]))
    return windows
