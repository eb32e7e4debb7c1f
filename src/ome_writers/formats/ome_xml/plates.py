"""Plate, Well and WellSample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.formats.ome_xml.text import quote_attribute
from ome_writers.formats.plates import plate_layout
from ome_writers.settings import row_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ome_writers.routing import ImagePlan, Plan

__all__ = ["plate"]


def plate(plan: Plan, *, began: str) -> Iterator[str]:
    """Yield the Plate element; wells outside the plate that was planned make it larger."""
    model = plan.settings.plate
    assert model is not None
    layout = plate_layout(plan)
    rows = {name: i for i, name in enumerate(layout.rows)}
    columns = {name: i for i, name in enumerate(layout.columns)}
    yield f'<Plate ID="Plate:0" Name={quote_attribute(model.name or "Plate")}'
    yield _convention("Row", list(rows)) + _convention("Column", list(columns))
    yield f' Rows="{len(rows)}" Columns="{len(columns)}">'
    samples = 0
    for number, ((row, column), fields) in enumerate(layout.fields.items()):
        yield f'<Well ID="Well:{number}" Row="{rows[row]}" Column="{columns[column]}">'
        for image, _ in fields:
            yield f'<WellSample ID="WellSample:{samples}" Index="{samples}"{_place(plan.images[image])}>'
            yield f'<ImageRef ID="Image:{image}"/></WellSample>'
            samples += 1
        yield "</Well>"
    most = max(map(len, layout.fields.values()))
    yield f'<PlateAcquisition ID="PlateAcquisition:0" StartTime="{began}" MaximumFieldCount="{most}">'
    yield from (f'<WellSampleRef ID="WellSample:{i}"/>' for i in range(samples))
    yield "</PlateAcquisition></Plate>"


def _convention(axis: str, names: Sequence[str]) -> str:
    """Say that names count on in letters or numbers; nothing where they do neither."""
    if list(names) == [row_name(i) for i in range(len(names))]:
        return f' {axis}NamingConvention="letter"'
    if list(names) == [str(i + 1) for i in range(len(names))] or all(n.isdigit() for n in names):
        return f' {axis}NamingConvention="number"'
    return ""


def _place(plan: ImagePlan) -> str:
    coords = [(c, getattr(plan.position, f"{c.lower()}_coord")) for c in "XY"]
    return "".join(f' Position{c}="{v!r}" Position{c}Unit="µm"' for c, v in coords if v is not None)
