"""Rows, columns, wells and fields of view of a plate, and the path component of each.

Source: https://ngff.openmicroscopy.org/0.5/ (plate layout). OME-XML uses the same names.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ome_writers.dataset import ImageSpec
from ome_writers.formats.path_names import alphanumeric_component
from ome_writers.routing import Plan, make_distinct
from ome_writers.settings import Plate


class Well(NamedTuple):
    """A well with fields of view."""

    row: int  # index in the plate's rows
    column: int
    path: str  # of its group, as in ``A/1``
    fields: list[tuple[int, str]]  # image number and path component of each field of view


class PlateLayout(NamedTuple):
    """Rows, columns and wells of a plate; rows and columns as name to path component, in the plate's order."""

    rows: dict[str, str]
    columns: dict[str, str]
    wells: list[Well]


def is_plate(plan: Plan) -> bool:
    """Whether the images are fields of view of a plate."""
    return plan.settings.plate is not None and plan.settings.position_dimension_index is not None


def stored_plate(plan: Plan) -> Plate | None:
    """Return the plate with the rows and columns of all wells, as a dataset contains it; None without a plate."""
    plate = plan.settings.plate
    if plate is None or not is_plate(plan):
        return plate
    layout = plate_layout(plan)
    if (len(layout.rows), len(layout.columns)) == (len(plate.row_names), len(plate.column_names)):
        return plate
    names = {"row_names": list(layout.rows), "column_names": list(layout.columns)}
    return plate.model_copy(update=names)


def plate_layout(plan: Plan) -> PlateLayout:
    """Return the layout of the plate; wells outside the planned rows and columns extend it."""
    plate = plan.settings.plate
    assert plate is not None
    rows = dict.fromkeys(plate.row_names)
    columns = dict.fromkeys(plate.column_names)
    wells: dict[tuple[str, str], list[ImageSpec]] = {}
    for image in plan.images:
        assert image.position is not None
        row, column = str(image.position.plate_row), str(image.position.plate_column)
        rows[row] = columns[column] = None
        wells.setdefault((row, column), []).append(image)
    row_paths, column_paths = _components(list(rows), "row"), _components(list(columns), "column")
    return PlateLayout(
        row_paths,
        column_paths,
        [
            Well(
                list(rows).index(row),
                list(columns).index(column),
                f"{row_paths[row]}/{column_paths[column]}",
                list(zip((i.number for i in images), _field_paths(images), strict=True)),
            )
            for (row, column), images in wells.items()
        ],
    )


def _components(names: list[str], default: str) -> dict[str, str]:
    paths = make_distinct((alphanumeric_component(name, default) for name in names), separator="")
    return dict(zip(names, paths, strict=True))


def _field_paths(images: list[ImageSpec]) -> list[str]:
    """Return the path component of each field of view in a well.

    NGFF 0.5 allows ASCII letters and digits only. A field has its position's name if that is allowed and unique in the
    well (regardless of case: some file systems ignore it), otherwise its running number in the well.
    """
    names = [image.position.name if image.position else "" for image in images]
    counts = Counter(name.casefold() for name in names)
    paths = [
        name
        if alphanumeric_component(name, "field") == name and counts[name.casefold()] == 1
        else str(number)
        for number, name in enumerate(names)
    ]
    # A position's name may equal the running number of another field.
    return paths if len(set(paths)) == len(paths) else [str(i) for i in range(len(paths))]
