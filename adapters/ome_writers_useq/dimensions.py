"""The dimensions of an acquisition: extents, units, scales and planned values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import Dimension
from ome_writers_useq.channels import described
from ome_writers_useq.positions import describe_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ome_writers_useq.outline import Outline
    from ome_writers_useq.planned_values import Planned

    UnitTuple = tuple[float | None, str]

__all__ = ["FrameGeometry", "describe_axes"]


@dataclass(frozen=True)
class FrameGeometry:
    """What a sequence does not know: the frames.

    Attributes
    ----------
    width, height
        Size in pixels.
    pixel_size_um
        Size of a pixel in micrometer, 0.0 or None if it is not known.
    """

    width: int
    height: int
    pixel_size_um: float | None


def describe_axes(
    found: Outline,
    frame: FrameGeometry,
    *,
    units: Mapping[str, UnitTuple | None],
    chunk_shapes: Mapping[str, int],
    shard_shapes: Mapping[str, int],
) -> list[Dimension]:
    """Describe the axes of an acquisition in its order, y and x last."""
    dimensions: list[Dimension] = []
    for axis in (*found.axes, "y", "x"):
        told = _told(axis, found, frame, units.get(axis))
        if axis != "p":  # a position is an image: there is nothing to chunk
            told["chunk_size"] = chunk_shapes.get(axis)
            told["shard_size_chunks"] = shard_shapes.get(axis)
        dimensions.append(Dimension(name=axis, **told))
    return dimensions


def _told(
    axis: str, found: Outline, frame: FrameGeometry, given: UnitTuple | None
) -> dict[str, Any]:
    """Return what is known of one axis, as arguments of Dimension."""
    if axis == "p":
        return {"type": "position", "coords": describe_pairs(found.reading, found.pairs)}
    if axis == "c":
        scale, unit = given or (1.0, None)  # clients multiply the scales of all axes
        coords = described(found.channels)
        return {"type": "channel", "coords": coords, "scale": scale, "unit": unit}
    if axis == "t":
        return {"type": "time", **_planned(found.times(), given, "second")}
    if axis == "z":
        told = {"type": "space", **_planned(found.depths(), given, "micrometer")}
        return {**told, "translation": _first_depth(found) if told["coords"] else None}
    scale, unit = given or (None, "micrometer")
    if frame.pixel_size_um is not None:
        scale, unit = frame.pixel_size_um, "micrometer"
    count = frame.height if axis == "y" else frame.width
    return {"type": "space", "count": count, "scale": scale, "unit": unit}


def _first_depth(found: Outline) -> float | None:
    """Return how far the first plane lies above its position's z, in micrometer; None where that is not one number.

    A stack begins where its first plane is: the datasets add the position's z to this.
    """
    planned = found.depths()
    first = float(planned.values[0])
    if planned.is_relative:
        return first
    positions = describe_pairs(found.reading, found.pairs)
    stages = {position.z_coord or 0.0 for position in positions} or {0.0}
    return first - stages.pop() if len(stages) == 1 else None


def _planned(planned: Planned, given: UnitTuple | None, default: str) -> dict[str, Any]:
    """Return what a plan says of its axis: count, scale, unit and coords."""
    scale, unit = given or (planned.step, default)
    values: list[float] | None = planned.values.tolist()
    # Regular times are told by their interval; of z, also the start and the direction count.
    regular = planned.step is not None or not np.diff(planned.values).any()
    if not values or unit != default or (default == "second" and regular):
        values = None
    return {"count": planned.count, "scale": scale, "unit": unit, "coords": values}
