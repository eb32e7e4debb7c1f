"""Checks of a plate and a schedule against the dimensions; imported for settings that have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ome_writers.settings.coordinates import Position
from ome_writers.settings.dimension import Dimension
from ome_writers.settings.model import warn_user

if TYPE_CHECKING:
    from ome_writers.settings.plate import Plate
    from ome_writers.settings.schedule import Schedule


def check_plate(plate: Plate, dimensions: Sequence[Dimension]) -> None:
    """Check that every position has a well; warn about wells that the plate does not have.

    Raises ValueError if there are no positions, or some do not have a well.
    """
    axis = next((d for d in dimensions if d.type == "position"), None)
    if axis is None:
        raise ValueError(
            "Plate mode requires a position dimension in dimensions. Add Dimension(name='p', coords="
            "[Position(name='f0', plate_row='A', plate_column='1'), ...]), or leave out plate."
        )
    positions = [p for p in axis.coords or () if isinstance(p, Position)]
    missing = [p.name for p in positions if p.plate_row is None or p.plate_column is None]
    if missing:
        raise ValueError(
            "All positions must have row and column for plate mode. Missing row/column for "
            f"positions: {missing}. Write Position(name=..., plate_row='A', plate_column='1')."
        )
    outside = [
        f"{p.name} ({p.plate_row}, {p.plate_column})"
        for p in positions
        if p.plate_row not in plate.row_names or p.plate_column not in plate.column_names
    ]
    if outside:
        warn_user(
            "Some positions have row/column values not in the plate definition: "
            f"{outside}. The plate that is written is extended to hold them."
        )


def check_schedule(schedule: Schedule, dimensions: Sequence[Dimension]) -> None:
    """Check that a schedule matches the dimensions.

    Raises ValueError if the schedule has an unknown axis, or an index that is out of range.
    """
    counts = {d.name: d.count for d in dimensions[:-2]}
    unknown = [name for name in schedule.axes if name not in counts]
    if unknown:
        raise ValueError(
            f"schedule names the axes {unknown}, but the dimensions before y and x are "
            f"{list(counts)}."
        )
    for name, count in counts.items():
        if name not in schedule.axes:
            if count is None:
                raise ValueError(
                    f"schedule must name the unbounded dimension {name!r}, got {schedule.axes}."
                )
        elif count is not None and schedule.count(name) > count:
            raise ValueError(
                f"schedule reaches index {schedule.count(name) - 1} along {name!r}, but the "
                f"dimension has count {count}."
            )
