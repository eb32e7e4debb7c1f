"""NGFF 0.5 attributes of image, plate and well groups, as plain dicts.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ome_writers.dataset import ImageSpec, Reduction
from ome_writers.formats.dataset_metadata import library_version
from ome_writers.formats.omezarr.layout import level_path
from ome_writers.formats.plates import PlateLayout
from ome_writers.routing import planned_channels
from ome_writers.settings import Channel, Dimension, Plate
from ome_writers.units import standard_size

VERSION = "0.5"
_WHITE = "FFFFFF"


def image(
    spec: ImageSpec,
    shape: Sequence[int],
    windows: Mapping[int, tuple[float, float]],
    *,
    name: str,
    interval: float | None = None,
    bits: int | None = None,
) -> dict[str, Any]:
    """Return the ``ome`` attributes of an image's group.

    `windows` maps channel numbers to sampled ranges, which the display windows start with. Their limits (min, max) are
    the range of the camera, if its significant `bits` are known, or of the dtype. `interval` is the measured one of the
    time axis in seconds, for an axis without scale.
    """
    dimensions = list(spec.dimensions)
    if interval is not None and (axis := _unscaled_time(dimensions)) is not None:
        measured = {"scale": interval, "unit": "second"}
        dimensions[axis] = dimensions[axis].model_copy(update=measured)
    scale, translation = [d.scale or 1.0 for d in dimensions], _translations(spec)
    datasets = [level_entry(0, scale, translation)]
    datasets += [
        level_entry(k, reduction.scale(scale), reduction.translation(translation, scale))
        for k, reduction in enumerate(spec.reductions, start=1)
    ]
    multiscale: dict[str, Any] = {
        "name": spec.name or name,
        "axes": [_axis(d) for d in dimensions],
        "datasets": datasets,
        **pyramid_fields(spec.reductions),
    }
    ome: dict[str, Any] = {"version": VERSION, "multiscales": [multiscale]}
    ome["omero"] = {
        "name": spec.name or name,
        "channels": [
            _omero_channel(channel, windows.get(i), spec.array.numpy_dtype, bits)
            for i, channel in enumerate(planned_channels(spec.array, shape))
        ],
        "rdefs": {"model": "color", "defaultT": 0, "defaultZ": 0},
    }
    return ome


def level_entry(level: int, scale: list[float], translation: list[float]) -> dict[str, Any]:
    """Return the entry of a resolution level in ``datasets``."""
    steps = as_transformations(scale, translation)
    return {"path": level_path(level), "coordinateTransformations": steps}


def pyramid_fields(reductions: Sequence[Reduction]) -> dict[str, Any]:
    """Return ``type`` and ``metadata`` of a multiscale: how its levels were computed."""
    if not reductions:
        metadata = {"description": "Full resolution only: no pyramid was computed."}
        return {"type": "none", "metadata": metadata}
    pyramid = reductions[0].pyramid
    axes = ", ".join(pyramid.axes)
    described = {
        "description": f"Each level halves {axes} of the level before, by {pyramid.method}.",
        "method": "ome_writers.downsampling.downsample",
        "version": library_version(),
        "kwargs": {"method": pyramid.method, "axes": list(pyramid.axes)},
    }
    return {"type": pyramid.method, "metadata": described}


def plate(model: Plate, layout: PlateLayout, *, name: str) -> dict[str, Any]:
    """Return the ``ome`` attributes of a plate's root group; `name` is that of the acquisition."""
    max_fields = max(len(well.fields) for well in layout.wells)
    return {
        "version": VERSION,
        "plate": {
            "version": VERSION,
            "name": model.name or name,
            "rows": [{"name": path} for path in layout.rows.values()],
            "columns": [{"name": path} for path in layout.columns.values()],
            "wells": [
                {"path": well.path, "rowIndex": well.row, "columnIndex": well.column}
                for well in layout.wells
            ],
            "field_count": max_fields,
            "acquisitions": [{"id": 0, "name": name, "maximumfieldcount": max_fields}],
        },
    }


def well(fields: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Return the ``ome`` attributes of a well's group."""
    images = [{"path": path, "acquisition": 0} for _, path in fields]
    return {"version": VERSION, "well": {"version": VERSION, "images": images}}


def measured_interval(spec: ImageSpec, frames: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the mean interval between time points in seconds, from ``delta_t`` in the frame metadata.

    None if the time axis has a scale or planned times, or if fewer than two time points have a ``delta_t``.
    """
    axis = _unscaled_time(spec.dimensions)
    if axis is None:
        return None
    times: dict[int, float] = {}  # time point to the earliest of its frames
    for frame in frames:
        seconds = frame.get("delta_t")
        if type(seconds) is float or type(seconds) is int:
            i = frame["storage_index"][axis]
            times[i] = min(seconds, times.get(i, seconds))
    if len(times) < 2:
        return None
    first, last = min(times), max(times)
    interval = (times[last] - times[first]) / (last - first)
    return interval if 0 < interval < math.inf else None


def _unscaled_time(dimensions: Sequence[Dimension]) -> int | None:
    """Return the index of the time axis if it has neither a scale nor planned times."""
    for i, dim in enumerate(dimensions):
        if dim.type == "time":
            return i if dim.scale is None and not dim.coords else None
    return None


def _axis(dim: Dimension) -> dict[str, str]:
    """Return an axis, without a unit if the scale is unknown.

    NGFF requires a scale for each axis; the default of 1.0 is not a measurement.
    """
    axis = {"name": dim.name, "type": dim.type or "other"}
    if dim.unit and dim.scale is not None:
        axis["unit"] = dim.unit
    return axis


def _translations(spec: ImageSpec) -> list[float]:
    """Return the translation of each axis in its unit: `Dimension.translation` plus the stage coordinate."""
    dimensions, position = spec.dimensions, spec.position
    translations = [float(d.translation or 0.0) for d in dimensions]
    if position is not None:
        last = len(dimensions) - 1
        depth = next((i for i, d in enumerate(dimensions[:-2]) if d.type == "space"), None)
        stage = {last: position.x_coord, last - 1: position.y_coord, depth: position.z_coord}
        for i, micrometers in stage.items():
            if i is not None and micrometers is not None:
                translations[i] += micrometers / standard_size(dimensions[i].unit, "space")
    return translations


def channel_metadata(spec: ImageSpec, shape: Sequence[int]) -> list[dict[str, Any]]:
    """Return the channel settings that ``omero`` does not have keys for (exposure, wavelengths, camera, ...).

    Empty if no channel has any.
    """
    settings = [
        channel.model_dump(mode="json", exclude_none=True, exclude={"color", "window"})
        for channel in planned_channels(spec.array, shape)
    ]
    return settings if any(len(each) > 1 for each in settings) else []


def _omero_channel(
    channel: Channel,
    sampled: tuple[float, float] | None,
    dtype: np.dtype[np.generic],
    bits: int | None,
) -> dict[str, Any]:
    seen = tuple(_number(v, dtype) for v in sampled) if sampled else None
    # floating-point types do not have a range that a slider could show
    low, high = (0, 2**bits - 1) if bits else (dtype.kind in "fc" and seen) or _range(dtype)
    start, end = channel.window or seen or (low, high)
    if end <= start:
        end = start + 1
    return {
        "label": channel.name,
        "color": ngff_color(channel),
        "active": True,
        "coefficient": 1,
        "family": "linear",
        "inverted": False,
        "window": {"min": min(low, start), "max": max(high, end), "start": start, "end": end},
    }


def _number(value: float, dtype: np.dtype[np.generic]) -> float:
    return int(value) if dtype.kind in "biu" else float(value)


def ngff_color(channel: Channel) -> str:
    color = channel.display_color
    if color is None:
        return _WHITE
    red, green, blue = color.as_rgb_tuple(alpha=False)[:3]
    return f"{red:02X}{green:02X}{blue:02X}"


def _range(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    if dtype.kind in "iu":
        info = np.iinfo(dtype.name)
        return int(info.min), int(info.max)
    return 0, 1


def as_transformations(
    scale: Sequence[float], translation: Sequence[float]
) -> list[dict[str, Any]]:
    """Return a scale, followed by a translation unless it is 0."""
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if any(translation):
        steps.append({"type": "translation", "translation": translation})
    return steps
