"""The attributes of NGFF 0.5: plan in, plain dicts out.

Source of all "must" and "should" here: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.settings import Channel
from ome_writers.units import si_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ome_writers.formats.plates import PlateLayout
    from ome_writers.routing import ImagePlan
    from ome_writers.settings import Dimension, Plate

__all__ = ["VERSION", "channel_facts", "image", "measured_interval", "plate", "well"]

VERSION = "0.5"
_WHITE = "FFFFFF"
_MICROMETERS = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}  # exact, for those that microscopes use


def image(
    plan: ImagePlan,
    shape: Sequence[int],
    windows: Mapping[int, tuple[float, float]],
    *,
    name: str,
    interval: float | None = None,
) -> dict[str, Any]:
    """Return the ``ome`` attributes of an image's group.

    Parameters
    ----------
    plan
        The image.
    shape
        The shape that its array shows.
    windows
        Channel number to the range of the data, where it is known.
    name
        What to call an image that has no name of its own.
    interval
        The measured mean interval of the time axis in seconds, if no scale is known; see `measured_interval`.
    """
    dimensions = list(plan.array.dimensions)
    if interval is not None and (axis := _unscaled_time(dimensions)) is not None:
        known = {"scale": interval, "unit": "second"}
        dimensions[axis] = dimensions[axis].model_copy(update=known)
    transformations = [{"type": "scale", "scale": [d.scale or 1.0 for d in dimensions]}]
    translation = _translations(plan)
    if any(translation):
        transformations.append({"type": "translation", "translation": translation})
    multiscale: dict[str, Any] = {
        "name": plan.name or name,
        "axes": [_axis(d) for d in dimensions],
        "datasets": [{"path": "0", "coordinateTransformations": transformations}],
        "type": "none",
        "metadata": {"description": "Full resolution only: no pyramid was computed."},
    }
    document: dict[str, Any] = {"version": VERSION, "multiscales": [multiscale]}
    document["omero"] = {
        "name": plan.name or name,
        "channels": [
            _omero_channel(channel, windows.get(i), plan.array.dtype)
            for i, channel in enumerate(_channels(plan, shape))
        ],
        "rdefs": {"model": "color", "defaultT": 0, "defaultZ": 0},
    }
    return document


def plate(model: Plate, layout: PlateLayout, *, name: str) -> dict[str, Any]:
    """Return the ``ome`` attributes of a plate's root group."""
    rows = {name: i for i, name in enumerate(layout.rows)}
    columns = {name: i for i, name in enumerate(layout.columns)}
    return {
        "version": VERSION,
        "plate": {
            "version": VERSION,
            "name": model.name or name,
            "rows": [{"name": path} for path in layout.rows.values()],
            "columns": [{"name": path} for path in layout.columns.values()],
            "wells": [
                {
                    "path": f"{layout.rows[row]}/{layout.columns[column]}",
                    "rowIndex": rows[row],
                    "columnIndex": columns[column],
                }
                for row, column in layout.fields
            ],
            "field_count": max(map(len, layout.fields.values())),
            "acquisitions": [{"id": 0, "maximumfieldcount": max(map(len, layout.fields.values()))}],
        },
    }


def well(fields: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Return the ``ome`` attributes of a well's group."""
    images = [{"path": path, "acquisition": 0} for _, path in fields]
    return {"version": VERSION, "well": {"version": VERSION, "images": images}}


def measured_interval(plan: ImagePlan, frames: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the mean interval between time points by the frames' ``delta_t``, in seconds.

    None if the time axis has a scale or planned times, or if fewer than two time points have a ``delta_t``.

    Parameters
    ----------
    plan
        The image.
    frames
        The metadata of its frames, with their ``storage_index``.
    """
    axis = _unscaled_time(plan.array.dimensions)
    if axis is None:
        return None
    begins: dict[int, float] = {}  # time point to the earliest of its frames
    for frame in frames:
        seconds = frame.get("delta_t")
        if type(seconds) is float or type(seconds) is int:
            at = frame["storage_index"][axis]
            begins[at] = min(seconds, begins.get(at, seconds))
    if len(begins) < 2:
        return None
    first, last = min(begins), max(begins)
    interval = (begins[last] - begins[first]) / (last - first)
    return interval if 0 < interval < math.inf else None


def _unscaled_time(dimensions: Sequence[Dimension]) -> int | None:
    """Return the time axis if neither its step nor its planned times are known."""
    for i, dim in enumerate(dimensions):
        if dim.type == "time":
            return i if dim.scale is None and not dim.coords else None
    return None


def _axis(dim: Dimension) -> dict[str, str]:
    """Return an axis; one without a known scale has no unit, since its scale of 1.0 is not a measure.

    NGFF requires a scale for each axis, and only recommends units.
    """
    axis = {"name": dim.name, "type": dim.type or "other"}
    if dim.unit and dim.scale is not None:
        axis["unit"] = dim.unit
    return axis


def _translations(plan: ImagePlan) -> list[float]:
    """Return where each axis begins: its own translation plus the stage's coordinate (micrometer)."""
    dimensions, position = plan.array.dimensions, plan.position
    begins = [float(d.translation or 0.0) for d in dimensions]
    if position is not None:
        last = len(dimensions) - 1
        depth = next((i for i, d in enumerate(dimensions[:-2]) if d.type == "space"), None)
        stage = {last: position.x_coord, last - 1: position.y_coord, depth: position.z_coord}
        for i, micrometers in stage.items():
            if i is not None and micrometers is not None:
                begins[i] += micrometers / _micrometers(dimensions[i].unit or "micrometer")
    return begins


def _micrometers(unit: str) -> float:
    """Return how many micrometers a unit of length is."""
    return _MICROMETERS.get(unit) or si_value(unit) * 1e6


def channel_facts(plan: ImagePlan, shape: Sequence[int]) -> list[dict[str, Any]]:
    """Return what is known of each channel that ``omero`` has no word for (exposure, wavelengths, camera ...).

    Empty when nothing is.
    """
    facts = [
        channel.model_dump(mode="json", exclude_none=True, exclude={"color", "window"})
        for channel in _channels(plan, shape)
    ]
    return facts if any(len(fact) > 1 for fact in facts) else []


def _channels(plan: ImagePlan, shape: Sequence[int]) -> list[Channel]:
    """Return the channels that an array of `shape` shows, numbered where they have no name."""
    axis = next((i for i, d in enumerate(plan.array.dimensions) if d.type == "channel"), None)
    count = 1 if axis is None else shape[axis]
    coords = list((plan.array.dimensions[axis].coords or ()) if axis is not None else ())
    coords += [f"Channel {i}" for i in range(len(coords), count)]
    return [c if isinstance(c, Channel) else Channel(name=str(c)) for c in coords[:count]]


def _omero_channel(
    channel: Channel, seen: tuple[float, float] | None, dtype: np.dtype[np.generic]
) -> dict[str, Any]:
    # until the data are known a viewer may offer every value of the dtype, then those that there are
    low, high = (_number(v, dtype) for v in seen) if seen else _range(dtype)
    start, end = channel.window or (low, high)
    if end <= start:
        end = start + 1
    return {
        "label": channel.name,
        "color": _color(channel),
        "active": True,
        "coefficient": 1,
        "family": "linear",
        "inverted": False,
        "window": {"min": min(low, start), "max": max(high, end), "start": start, "end": end},
    }


def _number(value: float, dtype: np.dtype[np.generic]) -> float:
    return int(value) if dtype.kind in "biu" else float(value)


def _color(channel: Channel) -> str:
    if channel.color is None:
        return _WHITE
    red, green, blue = channel.color.as_rgb_tuple(alpha=False)[:3]
    return f"{red:02X}{green:02X}{blue:02X}"


def _range(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    if dtype.kind in "iu":
        info = np.iinfo(dtype.name)
        return int(info.min), int(info.max)
    return 0, 1
