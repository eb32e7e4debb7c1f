"""The attributes of NGFF 0.5: plan in, plain dicts out.

Source of all "must" and "should" here: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.settings import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ome_writers.formats.zarr_layout import PlateLayout
    from ome_writers.routing import ImagePlan
    from ome_writers.settings import Dimension, Plate

__all__ = ["VERSION", "image", "plate", "well"]

VERSION = "0.5"
_WHITE = "FFFFFF"


def image(
    plan: ImagePlan,
    shape: Sequence[int],
    windows: Mapping[tuple[int, int], tuple[float, float]],
) -> dict[str, Any]:
    """Return the ``ome`` attributes of an image's group.

    Parameters
    ----------
    plan
        The image.
    shape
        The shape that its array shows.
    windows
        (image, channel) to the range of the data, where it is known.
    """
    dimensions = plan.array.dimensions
    transformations = [{"type": "scale", "scale": [d.scale or 1.0 for d in dimensions]}]
    translation = [_translation(d, plan) for d in dimensions]
    if any(translation):
        transformations.append({"type": "translation", "translation": translation})
    multiscale: dict[str, Any] = {
        "name": plan.name or "image",
        "axes": [_axis(d) for d in dimensions],
        "datasets": [{"path": "0", "coordinateTransformations": transformations}],
        "type": "none",
        "metadata": {"description": "Full resolution only: no pyramid was computed."},
    }
    document: dict[str, Any] = {"version": VERSION, "multiscales": [multiscale]}
    document["omero"] = {
        "name": plan.name or "image",
        "channels": _channels(plan, shape, windows),
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
    return {"version": VERSION, "well": {"images": images}}


def _axis(dim: Dimension) -> dict[str, str]:
    axis = {"name": dim.name, "type": dim.type or "other"}
    if dim.unit:
        axis["unit"] = dim.unit
    return axis


def _translation(dim: Dimension, plan: ImagePlan) -> float:
    """Return where an axis begins: its own translation plus the stage's coordinate."""
    stage = None
    if plan.position is not None and dim.type == "space" and dim.name in ("x", "y", "z"):
        stage = getattr(plan.position, f"{dim.name}_coord")
    return float(dim.translation or 0.0) + float(stage or 0.0)


def _channels(
    plan: ImagePlan,
    shape: Sequence[int],
    windows: Mapping[tuple[int, int], tuple[float, float]],
) -> list[dict[str, Any]]:
    axis = next((i for i, d in enumerate(plan.array.dimensions) if d.type == "channel"), None)
    count = 1 if axis is None else shape[axis]
    coords = (plan.array.dimensions[axis].coords or ()) if axis is not None else ()
    return [
        _channel(
            coords[i] if i < len(coords) else f"Channel {i}",
            windows.get((plan.number, i)),
            plan.array.dtype,
        )
        for i in range(count)
    ]


def _channel(
    coord: object, seen: tuple[float, float] | None, dtype: np.dtype[np.generic]
) -> dict[str, Any]:
    channel = coord if isinstance(coord, Channel) else Channel(name=str(coord))
    low, high = _range(dtype)
    start, end = channel.window or seen or (low, high)
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
