"""Convert acquisition axes to `Dimension` objects: extents, units, scales and coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import Dimension, Position
from ome_writers_useq.channels import convert_channels
from ome_writers_useq.positions import convert_positions

if TYPE_CHECKING:
    from ome_writers_useq.acquisition_axes import AcquisitionAxes
    from ome_writers_useq.axis_plans import AxisPlan

    UnitTuple = tuple[float | None, str]


@dataclass(frozen=True)
class FrameGeometry:
    """Frame size in pixels, and pixel size in micrometers (0.0 or None if unknown)."""

    width: int
    height: int
    pixel_size_um: float | None


def build_dimensions(
    axes: AcquisitionAxes,
    frame: FrameGeometry,
    *,
    units: Mapping[str, UnitTuple | None],
    chunk_shapes: Mapping[str, int],
    shard_shapes: Mapping[str, int],
) -> list[Dimension]:
    """Return the dimensions in acquisition order, y and x last."""
    dimensions: list[Dimension] = []
    for axis in (*axes.names, "y", "x"):
        fields = _dimension_fields(axis, axes, frame, units.get(axis))
        if axis != "p":  # each position is an image of its own, so the axis is not chunked
            fields["chunk_size"] = chunk_shapes.get(axis)
            fields["shard_size_chunks"] = shard_shapes.get(axis)
        dimensions.append(Dimension(name=axis, **fields))
    return dimensions


def _dimension_fields(
    axis: str, axes: AcquisitionAxes, frame: FrameGeometry, user_unit: UnitTuple | None
) -> dict[str, Any]:
    if axis == "p":
        return {"type": "position", "coords": place_positions(axes)[0]}
    if axis == "c":
        scale, unit = user_unit or (1.0, None)  # clients multiply the scales of all axes
        coords = convert_channels(axes.channels)
        return {"type": "channel", "coords": coords, "scale": scale, "unit": unit}
    if axis == "t":
        return {"type": "time", **_plan_fields(axes.time_plan(), user_unit, "second")}
    if axis == "z":
        fields = {"type": "space", **_plan_fields(axes.z_plan(), user_unit, "micrometer")}
        translation = place_positions(axes)[1] if fields["unit"] == "micrometer" else None
        return {**fields, "translation": translation}
    scale, unit = user_unit or (None, "micrometer")
    if frame.pixel_size_um is not None:
        scale, unit = frame.pixel_size_um, "micrometer"
    count = frame.height if axis == "y" else frame.width
    return {"type": "space", "count": count, "scale": scale, "unit": unit}


def place_positions(axes: AcquisitionAxes) -> tuple[list[Position], float | None]:
    """Return the items of the position axis, and the distance of their first planes from their z (micrometers).

    Datasets add the position's z to this translation. If the distances differ, because positions have z plans of their
    own or an absolute plan overrides their z, the z of each position is that of its first plane.
    """
    positions = convert_positions(axes.parsed, axes.pairs)
    if "z" not in axes.names:
        return positions, None
    stage_z = [position.z_coord for position in positions] or [None]
    plans = [axes.z_plan_of(number) for number in range(len(stage_z))]
    offsets = [
        0.0 if plan is None else float(plan.values[0]) - (0.0 if plan.is_relative else z or 0.0)
        for plan, z in zip(plans, stage_z, strict=True)
    ]
    if np.allclose(offsets, offsets[0], rtol=0, atol=1e-9):
        return positions, offsets[0]
    for position, plan, offset in zip(positions, plans, offsets, strict=True):
        if plan is not None:
            position.z_coord = (position.z_coord or 0.0) + offset
    return positions, None


def _plan_fields(plan: AxisPlan, user_unit: UnitTuple | None, default_unit: str) -> dict[str, Any]:
    scale, unit = user_unit or (plan.step, default_unit)
    values: list[float] | None = plan.values.tolist()
    # The interval describes regular times completely; z also needs the start and the direction.
    is_regular = plan.step is not None or not np.diff(plan.values).any()
    if not values or unit != default_unit or (default_unit == "second" and is_regular):
        values = None
    return {"count": plan.count, "scale": scale, "unit": unit, "coords": values}
