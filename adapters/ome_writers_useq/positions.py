"""Convert stage positions and grid points to `Position` objects: names, wells, tiles and coordinates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import useq

from ome_writers import Position
from ome_writers_useq.plates import row_name, well_of

if TYPE_CHECKING:
    from ome_writers_useq.grid_points import Point
    from ome_writers_useq.parsed_sequence import ParsedSequence


def nested_loop_pairs(parsed: ParsedSequence) -> list[tuple[int, int]]:
    """Return the event indices (p, g) that nested loops visit, in order; -1 for an index that events do not have."""
    if not parsed.positions:
        return [(-1, g) for g in range(len(parsed.top.points))]
    pairs = [
        (p, g)
        for p in range(len(parsed.positions))
        for g in (range(len(parsed.points_of(p))) or (-1,))
    ]
    outside = -1 < parsed.top.order.find("g") < parsed.top.order.find("p")
    return sorted(pairs, key=lambda pair: pair[::-1]) if outside else pairs


def convert_positions(parsed: ParsedSequence, pairs: Sequence[tuple[int, int]]) -> list[Position]:
    """Return the items of the position axis, with absolute stage coordinates in micrometers (None if not moved).

    `pairs` are event indices (p, g), -1 for an index that events do not have.
    """
    plan = parsed.sequence.stage_positions
    if parsed.positions and isinstance(plan, useq.WellPlatePlan):
        fields = list(_well_fields(parsed, plan, pairs))
    else:
        fields = list(_fields(parsed, pairs))
    return [Position(**field) for field in _with_unique_names(fields)]


def _fields(parsed: ParsedSequence, pairs: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    names = _stage_names(parsed.positions)
    several = len(parsed.positions) > 1
    only_name = _name_without_axis(parsed.sequence)
    for p, g in pairs:
        stage = parsed.positions[p] if p >= 0 else None
        point = (parsed.points_of(p) if p >= 0 else parsed.top.points)[g] if g >= 0 else None
        tile = _tile(point) or _tile(stage)
        given = stage.name or str(p) if stage is not None else only_name
        if not given:
            name = f"{g:04d}"
        elif point is None or _tile(point):
            name = names[p] if stage is not None else given  # row and column distinguish the tiles
        else:
            name = f"{given}_p{p:04d}_g{g:04d}" if several else f"{given}_g{g:04d}"
        yield {"name": name, **_well(well_of(stage)), **_grid(tile), **_coordinates(stage, point)}


def _well_fields(
    parsed: ParsedSequence, plan: useq.WellPlatePlan, pairs: Iterable[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Yield fields of view, numbered within each well in the order of the first visit."""
    wpp: Any = plan.well_points_plan
    # useq drops the grid's rows and columns when it adds the grid points to the wells.
    in_well = [wpp] if isinstance(wpp, useq.RelativePosition) else list(wpp)
    wells = plan.selected_well_indices
    visited: defaultdict[tuple[int, int], int] = defaultdict(int)
    for p, g in pairs:
        stage = parsed.positions[p]
        point = parsed.points_of(p)[g] if g >= 0 else None
        tiles = [tile for item in (in_well[p % len(in_well)], point) if (tile := _tile(item))]
        # In a grid of grids, row and column are ambiguous.
        tile = tiles[0] if len(tiles) == 1 else None
        row, column = wells[p // len(in_well)]
        well = (int(row), int(column))
        name = f"fov{visited[well]}"
        visited[well] += 1
        yield {"name": name, **_well(well), **_grid(tile), **_coordinates(stage, point)}


def _name_without_axis(seq: useq.MDASequence) -> str | None:
    """Return the name of the only stage position that is listed; used if `p` is not iterated."""
    listed = tuple(seq.stage_positions)
    return listed[0].name if len(listed) == 1 else None


def _stage_names(positions: Sequence[Point]) -> list[str]:
    """Return unique names of the stage positions; tiles of one grid may share a name."""
    names = [position.name or str(number) for number, position in enumerate(positions)]
    groups = [(well_of(position), _tile(position)) for position in positions]
    return _unique_names(names, groups)


def _unique_names(names: Sequence[str], groups: Sequence[object]) -> list[str]:
    """Append ``_1``, ``_2``, ... to a name that is already used in its group."""
    used: defaultdict[object, set[str]] = defaultdict(set)
    reserved: defaultdict[object, set[str]] = defaultdict(set)
    for name, group in zip(names, groups, strict=True):
        reserved[group].add(name)
    last: defaultdict[tuple[object, str], int] = defaultdict(int)
    unique_names: list[str] = []
    for name, group in zip(names, groups, strict=True):
        unique = name
        while unique in used[group]:
            last[group, name] += 1
            unique = f"{name}_{last[group, name]}"
            if unique in reserved[group]:
                unique = name
        used[group].add(unique)
        unique_names.append(unique)
    return unique_names


def _with_unique_names(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("plate_row", "plate_column", "grid_row", "grid_column")
    groups = [tuple(field.get(key) for key in keys) for field in fields]
    names = _unique_names([field["name"] for field in fields], groups)
    return [{**field, "name": name} for field, name in zip(fields, names, strict=True)]


def _tile(position: Point | None) -> tuple[int, int] | None:
    if position is None or position.grid_row is None or position.grid_col is None:
        return None
    return position.grid_row, position.grid_col


def _grid(tile: tuple[int, int] | None) -> dict[str, int]:
    return {} if tile is None else {"grid_row": tile[0], "grid_column": tile[1]}


def _well(well: tuple[int, int] | None) -> dict[str, str]:
    if well is None:
        return {}
    return {"plate_row": row_name(well[0]), "plate_column": str(1 + well[1])}


def _coordinates(stage: Point | None, point: Point | None) -> dict[str, float]:
    x, y, z = (stage.x, stage.y, stage.z) if stage is not None else (None, None, None)
    if isinstance(point, useq.RelativePosition):
        # At a position without coordinates, useq uses relative points as absolute ones.
        x, y = (x or 0.0) + point.x, (y or 0.0) + point.y
    elif point is not None:
        x, y = point.x, point.y
    coordinates = {"x_coord": x, "y_coord": y, "z_coord": z}
    return {key: float(value) for key, value in coordinates.items() if value is not None}
