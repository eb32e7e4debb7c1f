"""Which group of an OME-Zarr holds which image: one image, a collection, or a plate.

Sources: https://ngff.openmicroscopy.org/0.5/ (plate layout, bioformats2raw layout).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats.documents import Layout
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.names import alphanumeric, distinct, field_name

if TYPE_CHECKING:
    from ome_writers.routing import ImagePlan, Plan
    from ome_writers.settings import Position

__all__ = ["PlateLayout", "is_plate", "lay_out", "plate_layout"]


@dataclass(frozen=True)
class PlateLayout:
    """Rows, columns and wells of a plate, with the path components they are stored under.

    Attributes
    ----------
    rows, columns
        Name to path component, in the plate's order.
    fields
        (row name, column name) to the wells' fields: image number and path component.
    """

    rows: dict[str, str]
    columns: dict[str, str]
    fields: dict[tuple[str, str], list[tuple[int, str]]]


def is_plate(plan: Plan) -> bool:
    """Whether the images are fields of a plate."""
    return plan.settings.plate is not None and plan.settings.position_dimension_index is not None


def lay_out(plan: Plan) -> Layout:
    """Return the layout of an OME-Zarr."""
    output = Path(plan.settings.output_path)
    if is_plate(plan):
        images = [""] * len(plan.images)
        plate = plate_layout(plan)
        for (row, column), fields in plate.fields.items():
            for number, name in fields:
                images[number] = f"{plate.rows[row]}/{plate.columns[column]}/{name}"
    elif plan.settings.position_dimension_index is None and len(plan.images) == 1:
        images = [""]
    else:
        images = [str(image.number) for image in plan.images]
    return Layout(
        root=output,
        output=output,
        arrays=tuple(below(image, "0") for image in images),
        images=tuple(images),
        journals=tuple(below(image, JOURNAL_NAME) for image in images),
    )


def below(group: str, name: str) -> str:
    """Return the key of `name` in a group."""
    return f"{group}/{name}" if group else name


def plate_layout(plan: Plan) -> PlateLayout:
    """Return rows, columns and fields; wells outside the plate make it grow."""
    plate = plan.settings.plate
    assert plate is not None
    rows = dict.fromkeys(plate.row_names)
    columns = dict.fromkeys(plate.column_names)
    wells: dict[tuple[str, str], list[ImagePlan]] = {}
    for image in plan.images:
        row, column = _well(image.position)
        rows[row] = columns[column] = None
        wells.setdefault((row, column), []).append(image)
    return PlateLayout(
        rows=_components(list(rows), "row"),
        columns=_components(list(columns), "column"),
        fields={
            well: list(zip((i.number for i in images), _field_names(images), strict=True))
            for well, images in wells.items()
        },
    )


def _well(position: Position | None) -> tuple[str, str]:
    assert position is not None
    return str(position.plate_row), str(position.plate_column)


def _components(names: list[str], otherwise: str) -> dict[str, str]:
    paths = distinct((alphanumeric(name, otherwise) for name in names), joint="")
    return dict(zip(names, paths, strict=True))


def _field_names(images: list[ImagePlan]) -> list[str]:
    """Return a name for each field of a well: the position's, with its place in a grid."""
    names = []
    for image in images:
        words = [image.name]
        if image.position is not None and image.position.grid_row is not None:
            words += [str(image.position.grid_row), str(image.position.grid_column)]
        names.append(field_name("_".join(words)))
    return distinct(names)
