"""Plates and wells of a sequence's positions."""

from __future__ import annotations

from functools import cache

import useq

from ome_writers import Plate
from ome_writers_useq.grid_points import Point


def plate_from_useq(seq: useq.MDASequence) -> Plate | None:
    """Return the plate of a sequence, None if it does not have one.

    A WellPlatePlan defines all rows and columns. Positions with ``plate_row`` and ``plate_col`` define a plate just
    large enough for their wells; if only some of the positions have them, there is no plate.
    """
    if "p" not in seq.axis_order:
        return None
    if isinstance(seq.stage_positions, useq.WellPlatePlan):
        plate = seq.stage_positions.plate
        return _plate(plate.rows, plate.columns, plate.name)
    wells = [well_of(position) for position in seq.stage_positions]
    known = [well for well in wells if well is not None]
    if not known or len(known) < len(wells):
        return None
    return _plate(1 + max(row for row, _ in known), 1 + max(column for _, column in known))


def well_of(position: Point | None) -> tuple[int, int] | None:
    """Return the 0-based row and column of the position's well, None if it does not name one."""
    if position is None or position.plate_row is None or position.plate_col is None:
        return None
    return position.plate_row, position.plate_col


@cache
def row_name(row: int) -> str:
    """Return the letters of a 0-based plate row."""
    return Plate.from_standard_wells((row + 1, 1)).row_names[row]


def _plate(rows: int, columns: int, name: str = "") -> Plate:
    plate = Plate.from_standard_wells((rows, columns))
    plate.name = name or None
    return plate
