"""Where the images of a dataset are in a common plane: at their stage coordinates, by well, or side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ome_writers import Position

_GAP = 0.05  # between images of unknown coordinates, and between wells; share of their extent
# area of a plane relative to the area of its images, beyond which most of it is empty
_MAX_EMPTY = 16


class PlaneLayout(NamedTuple):
    """Offsets in pixels."""

    # stage coordinates (y, x) of offset 0 in micrometers; 0 where they are unknown
    origin: tuple[float, float]
    offsets: tuple[tuple[float, float], ...]  # row and column of each image's first pixel
    size: tuple[int, int]  # rows and columns of the plane
    is_dense: bool  # whether the images cover a good part of the plane


def plane_layout(
    positions: Sequence[Position], frame: tuple[int, int], pixel_size: tuple[float, float] | None
) -> PlaneLayout:
    """Return the layout of images of the same size.

    Wells of a plate are next to each other, by row and column; rows and columns without an image are left out. The
    fields of a well, and positions without a plate, are at their stage coordinates, or in a grid if these are unknown.

    `frame` is (rows, columns), and `pixel_size` (height, width) in micrometers, None if unknown.
    """
    if any(p.plate_row is None for p in positions):
        return _by_coordinates(positions, frame, pixel_size) or _grid(positions, frame)
    wells: dict[tuple[str, str], list[int]] = {}
    for number, position in enumerate(positions):
        wells.setdefault((position.plate_row or "", position.plate_column or ""), []).append(number)
    fields = {}
    for well, numbers in wells.items():
        inside = [positions[n] for n in numbers]
        found = _by_coordinates(inside, frame, pixel_size)
        fields[well] = found if found and found.is_dense else _grid(inside, frame)
    pitch = [math.ceil((1 + _GAP) * max(f.size[axis] for f in fields.values())) for axis in (0, 1)]
    rows, columns = (sorted({well[axis] for well in wells}, key=_natural) for axis in (0, 1))
    offsets = [(0.0, 0.0)] * len(positions)
    for (row, column), numbers in wells.items():
        for number, (y, x) in zip(numbers, fields[row, column].offsets, strict=True):
            offsets[number] = (y + rows.index(row) * pitch[0], x + columns.index(column) * pitch[1])
    return _layout((0.0, 0.0), offsets, frame)


def _by_coordinates(
    positions: Sequence[Position], frame: tuple[int, int], pixel_size: tuple[float, float] | None
) -> PlaneLayout | None:
    """Return None if a coordinate or the pixel size is unknown, or if two images have the same coordinates."""
    known = [
        (p.y_coord, p.x_coord) for p in positions if p.y_coord is not None and p.x_coord is not None
    ]
    if pixel_size is None or len(set(known)) < len(positions):
        return None
    origin = (min(y for y, _ in known), min(x for _, x in known))
    offsets = [((y - origin[0]) / pixel_size[0], (x - origin[1]) / pixel_size[1]) for y, x in known]
    return _layout(origin, offsets, frame)


def _grid(positions: Sequence[Position], frame: tuple[int, int]) -> PlaneLayout:
    """Return the cells of the acquisition's grid if each image has one, otherwise a grid as wide as high."""
    cells = [
        (p.grid_row, p.grid_column)
        for p in positions
        if p.grid_row is not None and p.grid_column is not None
    ]
    if len(set(cells)) < len(positions):
        columns = math.ceil(math.sqrt(len(positions)))
        cells = [divmod(n, columns) for n in range(len(positions))]
    gap = 1 + _GAP
    offsets = [(round(r * gap * frame[0]), round(c * gap * frame[1])) for r, c in cells]
    return _layout((0.0, 0.0), offsets, frame)


def _layout(
    origin: tuple[float, float], offsets: Sequence[tuple[float, float]], frame: tuple[int, int]
) -> PlaneLayout:
    height, width = (round(max(o[axis] for o in offsets)) + frame[axis] for axis in (0, 1))
    covered = len(offsets) * frame[0] * frame[1]
    return PlaneLayout(
        origin, tuple(offsets), (height, width), height * width <= _MAX_EMPTY * covered
    )


def _natural(name: str) -> tuple[int, str]:
    """Sort names of rows and columns: 2 before 10, Z before AA."""
    return len(name), name
