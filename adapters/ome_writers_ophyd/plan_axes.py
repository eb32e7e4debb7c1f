"""Acquisition axes of bluesky plans, from the start document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ome_writers import Dimension, Position, Schedule


def axes_of_plan(
    start: Mapping[str, Any], axis_of: Mapping[str, str]
) -> tuple[list[Dimension], Schedule] | None:
    """Return the axes of `bluesky.plans.scan` or `grid_scan` and the index of each point; None for other plans.

    `start` is the start document; `axis_of` is ``x``, ``y`` or ``z`` by the name of a motor. The points repeat along
    the axis ``t``.
    """
    points = _points(start)
    if points is None:
        return None
    motors = list(points[0])
    lateral = [motor for motor in motors if axis_of.get(motor) in ("x", "y")]
    if start["plan_pattern"] == "inner_product":  # all motors move together: one axis
        groups = [motors if lateral else motors[:1]]
    else:
        groups = [[motor] for motor in motors if motor not in lateral]
        groups += [lateral] if lateral else []
        groups.sort(key=lambda group: motors.index(group[0]))
    dimensions, columns = [], []
    for group in groups:
        values = [tuple(point[motor] for motor in group) for point in points]
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        dimensions.append(_dimension(group, list(numbers), axis_of))
        columns.append([numbers[value] for value in values])
    names = ("t", *(dimension.name for dimension in dimensions))
    return dimensions, Schedule(names, [(0, *index) for index in zip(*columns, strict=True)])


def _points(start: Mapping[str, Any]) -> list[dict[str, float]] | None:
    """Return the motor positions of each point in order of acquisition."""
    pattern, motors = start.get("plan_pattern"), start.get("motors", ())
    # the positions of relative scans are unknown: they are relative to where the motors were
    if pattern not in ("inner_product", "outer_product") or start["plan_name"].startswith("rel_"):
        return None
    if pattern == "inner_product":  # motor, start, stop, motor, start, stop, ...
        args, num = start["plan_pattern_args"]["args"], start["plan_pattern_args"]["num"]
        tracks = [_positions(args[i + 1 : i + 3], num) for i in range(0, len(args), 3)]
        return [dict(zip(motors, point, strict=True)) for point in zip(*tracks, strict=True)]
    points: list[dict[str, float]] = [{}]
    axes = zip(motors, start["extents"], start["shape"], start["snaking"], strict=True)
    for motor, extent, num, snakes in axes:
        there = _positions(extent, num)
        back = there[::-1] if snakes else there
        points = [
            {**point, motor: value}
            for number, point in enumerate(points)
            for value in (back if number % 2 else there)
        ]
    return points


def _positions(extent: Sequence[float], num: int) -> list[float]:
    return [float(value) for value in np.linspace(float(extent[0]), float(extent[1]), num)]


def _dimension(
    motors: Sequence[str], values: Sequence[tuple[float, ...]], axis_of: Mapping[str, str]
) -> Dimension:
    """Return the axis along which `motors` take these positions."""
    axes = [axis_of.get(motor) for motor in motors]
    if "x" in axes or "y" in axes:
        positions = []
        for number, value in enumerate(values):
            known = {f"{axis}_coord": v for axis, v in zip(axes, value, strict=True) if axis}
            positions.append(Position.model_validate({"name": str(number), **known}))
        return Dimension(name="p", type="position", coords=positions)
    single = [value[0] for value in values]
    if axes[0] != "z":
        return Dimension(name=motors[0], type="other", coords=single)
    step = abs(single[1] - single[0]) if len(single) > 1 else None
    return Dimension(
        name="z", count=len(single), unit="micrometer", scale=step, translation=min(single)
    )
