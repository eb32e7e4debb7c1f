"""Where the frames of each (stage position, grid point) pair are taken, and what it is called."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import useq

from ome_writers import Position
from ome_writers_useq.plates import row_name, well_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from useq._position import PositionBase

    from ome_writers_useq.nested_sequences import Reading

__all__ = ["describe_pairs", "planned_pairs"]


def planned_pairs(reading: Reading) -> list[tuple[int, int]]:
    """Return the event indices (p, g) of all places of a sequence that is nested loops.

    In the order in which they are visited; -1 stands for an index that the events do not have.
    """
    if not reading.positions:
        return [(-1, g) for g in range(len(reading.top.points))]
    pairs = [
        (p, g)
        for p in range(len(reading.positions))
        for g in (range(len(reading.points_of(p))) or (-1,))
    ]
    outside = -1 < reading.top.order.find("g") < reading.top.order.find("p")
    return sorted(pairs, key=lambda pair: pair[::-1]) if outside else pairs


def describe_pairs(reading: Reading, pairs: Sequence[tuple[int, int]]) -> list[Position]:
    """Describe the places of a position axis.

    Coordinates are absolute stage micrometers; None where the stage stays where it is.

    Parameters
    ----------
    reading
        The sequence.
    pairs
        Event indices (p, g), -1 for one that the events do not have.
    """
    plan = reading.sequence.stage_positions
    if reading.positions and isinstance(plan, useq.WellPlatePlan):
        fields = list(_fields_of_wells(reading, plan, pairs))
    else:
        fields = list(_fields(reading, pairs))
    return [Position(**field) for field in _distinct(fields)]


def _fields(reading: Reading, pairs: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    names = _stage_names(reading.positions)
    several = len(reading.positions) > 1
    for p, g in pairs:
        stage = reading.positions[p] if p >= 0 else None
        point = (reading.points_of(p) if p >= 0 else reading.top.points)[g] if g >= 0 else None
        tile = _tile(point) or _tile(stage)
        if stage is None:
            name = f"{g:04d}"
        elif point is None or _tile(point):
            name = names[p]  # told apart by row and column
        else:
            name = f"{names[p]}_p{p:04d}_g{g:04d}" if several else f"{names[p]}_g{g:04d}"
        yield {"name": name, **_well(well_of(stage)), **_grid(tile), **_coordinates(stage, point)}


def _fields_of_wells(
    reading: Reading, plan: useq.WellPlatePlan, pairs: Iterable[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Yield the fields, numbered in each well in the order in which they are visited first."""
    wpp: Any = plan.well_points_plan
    # The grid's rows and columns get lost where useq adds its points to the wells.
    in_well = [wpp] if isinstance(wpp, useq.RelativePosition) else list(wpp)
    wells = plan.selected_well_indices
    seen: defaultdict[tuple[int, int], int] = defaultdict(int)
    for p, g in pairs:
        stage = reading.positions[p]
        point = reading.points_of(p)[g] if g >= 0 else None
        tiles = [tile for item in (in_well[p % len(in_well)], point) if (tile := _tile(item))]
        # A grid of grids has no single row and column.
        tile = tiles[0] if len(tiles) == 1 else None
        row, column = wells[p // len(in_well)]
        well = (int(row), int(column))
        name = f"fov{seen[well]}"
        seen[well] += 1
        yield {"name": name, **_well(well), **_grid(tile), **_coordinates(stage, point)}


def _stage_names(positions: Sequence[PositionBase]) -> list[str]:
    """Name each stage position; two of one name get distinct ones, unless they are tiles."""
    given = [position.name or str(number) for number, position in enumerate(positions)]
    groups = [(well_of(position), _tile(position)) for position in positions]
    return _made_distinct(given, groups)


def _made_distinct(names: Sequence[str], groups: Sequence[object]) -> list[str]:
    """Append ``_1``, ``_2``, ... to a name that is taken in its group."""
    taken: defaultdict[object, set[str]] = defaultdict(set)
    reserved: defaultdict[object, set[str]] = defaultdict(set)
    for name, group in zip(names, groups, strict=True):
        reserved[group].add(name)
    last: defaultdict[tuple[object, str], int] = defaultdict(int)
    distinct: list[str] = []
    for name, group in zip(names, groups, strict=True):
        unique = name
        while unique in taken[group]:
            last[group, name] += 1
            unique = f"{name}_{last[group, name]}"
            if unique in reserved[group]:
                unique = name
        taken[group].add(unique)
        distinct.append(unique)
    return distinct


def _distinct(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("plate_row", "plate_column", "grid_row", "grid_column")
    groups = [tuple(field.get(key) for key in keys) for field in fields]
    names = _made_distinct([field["name"] for field in fields], groups)
    return [{**field, "name": name} for field, name in zip(fields, names, strict=True)]


def _tile(position: PositionBase | None) -> tuple[int, int] | None:
    # useq-schema before 0.9.2 calls them row and col.
    names = ("grid_row", "grid_col") if hasattr(position, "grid_row") else ("row", "col")
    row, column = (getattr(position, name, None) for name in names)
    return None if row is None or column is None else (row, column)


def _grid(tile: tuple[int, int] | None) -> dict[str, int]:
    return {} if tile is None else {"grid_row": tile[0], "grid_column": tile[1]}


def _well(well: tuple[int, int] | None) -> dict[str, str]:
    if well is None:
        return {}
    return {"plate_row": row_name(well[0]), "plate_column": str(1 + well[1])}


def _coordinates(stage: PositionBase | None, point: PositionBase | None) -> dict[str, float]:
    x, y, z = (stage.x, stage.y, stage.z) if stage is not None else (None, None, None)
    if isinstance(point, useq.RelativePosition):
        # useq takes a relative point at a position without coordinates as absolute.
        x, y = (x or 0.0) + point.x, (y or 0.0) + point.y
    elif point is not None:
        x, y = point.x, point.y
    coordinates = {"x_coord": x, "y_coord": y, "z_coord": z}
    return {key: float(value) for key, value in coordinates.items() if value is not None}
