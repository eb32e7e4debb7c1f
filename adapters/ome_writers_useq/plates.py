"""The plate that a sequence's positions lie on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import useq

from ome_writers import Plate

if TYPE_CHECKING:
    from useq._position import PositionBase

__all__ = ["plate_from_useq", "row_name", "well_of"]


def plate_from_useq(seq: useq.MDASequence) -> Plate | None:
    """Return the plate of a sequence.

    The plate of a WellPlatePlan has all its rows and columns; positions that name their wells
    (``plate_row`` and ``plate_col``) make one as large as they need. None if there is neither,
    or if only some of the positions name a well: then it is no plate but a list of places.
    """
    if "p" not in seq.axis_order:
        return None
    if isinstance(seq.stage_positions, useq.WellPlatePlan):
        plate = seq.stage_positions.plate
        return _plate(plate.rows, plate.columns, plate.name)
    wells = [well_of(position) for position in seq.stage_positions]
    named = [well for well in wells if well is not None]
    if not named or len(named) < len(wells):
        return None
    return _plate(1 + max(row for row, _ in named), 1 + max(column for _, column in named))


def well_of(position: PositionBase | None) -> tuple[int, int] | None:
    """Return the 0-based row and column of the position's well, None if it names none."""
    # useq-schema before 0.9.2 has no such fields.
    row, column = getattr(position, "plate_row", None), getattr(position, "plate_col", None)
    return None if row is None or column is None else (row, column)


def row_name(row: int) -> str:
    """Return the letters of a 0-based plate row.

    Examples
    --------
    >>> [row_name(row) for row in (0, 25, 26, 51, 52, 702)]
    ['A', 'Z', 'AA', 'AZ', 'BA', 'AAA']
    """
    letters = ""
    row += 1
    while row > 0:
        row, letter = divmod(row - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def _plate(rows: int, columns: int, name: str = "") -> Plate:
    return Plate(
        row_names=[row_name(row) for row in range(rows)],
        column_names=[str(1 + column) for column in range(columns)],
        name=name or None,
    )
