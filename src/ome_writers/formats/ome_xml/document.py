"""Whole OME-XML documents, and the Plate element."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ome_writers.formats.ome_xml.annotations import acquisition_annotation, map_annotation
from ome_writers.formats.ome_xml.images import IfdRuns, images, stage_attributes
from ome_writers.formats.ome_xml.instrument import InstrumentXml
from ome_writers.formats.ome_xml.planes import RenderedPlanes
from ome_writers.formats.ome_xml.text import open_root, quote_attribute
from ome_writers.formats.plates import is_plate, plate_layout
from ome_writers.routing import Plan
from ome_writers.settings import row_name

Body: TypeAlias = "list[bytes]"
"""The content of the root element in pieces: the same in every file of a set."""


def render_body(
    plan: Plan,
    shapes: Sequence[Sequence[int]],
    *,
    began: datetime.datetime,
    pages: Sequence[IfdRuns] | None = None,
    planes: Mapping[int, RenderedPlanes] = {},
    metadata: Mapping[str, Mapping[str, Any]] = {},
    info: Mapping[str, Any] | None = None,
) -> Body:
    """Return the content of the root element.

    `began` counts unless the settings state a time. `pages` are the IFDs of each image's planes, None if the pixels are
    in another format. Each namespace of `metadata` becomes a MapAnnotation, `info` the acquisition annotation.
    """
    start = began.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    if plan.settings.acquisition_date is not None:
        start = plan.settings.acquisition_date.isoformat()
    head: list[str] = []
    if is_plate(plan):
        head.extend(_plate(plan, began=start))
    instrument = InstrumentXml.of(plan)
    head.append(instrument.element)
    body = ["".join(head).encode()]
    body.extend(
        images(plan, shapes, began=start, instrument=instrument, pages=pages, planes=planes)
    )
    annotations = [] if info is None else [acquisition_annotation(info).encode()]
    annotations += [
        map_annotation(f"Annotation:{i}", namespace, pairs).encode()
        for i, (namespace, pairs) in enumerate(metadata.items())
    ]
    annotations += [of_image.annotations for of_image in planes.values()]
    if any(annotations):
        body += [b"<StructuredAnnotations>", *annotations, b"</StructuredAnnotations>"]
    return body


def assemble_document(body: Body, uuid: str | None) -> bytes:
    """Return the document of the file with this UUID."""
    return b"".join([open_root(uuid).encode(), *body, b"</OME>"])


def binary_only(uuid: str, file: str, file_uuid: str) -> bytes:
    """Return the BinaryOnly document of a file, which refers to the file of its set that contains the metadata."""
    element = f'<BinaryOnly MetadataFile={quote_attribute(file)} UUID="{file_uuid}"/></OME>'
    return (open_root(uuid) + element).encode()


def _plate(plan: Plan, *, began: str) -> Iterator[str]:
    """Yield the pieces of the Plate element."""
    model = plan.settings.plate
    assert model is not None
    layout = plate_layout(plan)
    yield f'<Plate ID="Plate:0" Name={quote_attribute(model.name or "Plate")}'
    yield _convention("Row", list(layout.rows)) + _convention("Column", list(layout.columns))
    yield f' Rows="{len(layout.rows)}" Columns="{len(layout.columns)}">'
    samples = 0
    for number, well in enumerate(layout.wells):
        yield f'<Well ID="Well:{number}" Row="{well.row}" Column="{well.column}">'
        for image, _ in well.fields:
            stage = stage_attributes(plan.images[image], "XY", prefix="Position")
            yield f'<WellSample ID="WellSample:{samples}" Index="{samples}"{stage}>'
            yield f'<ImageRef ID="Image:{image}"/></WellSample>'
            samples += 1
        yield "</Well>"
    max_fields = max(len(well.fields) for well in layout.wells)
    yield f'<PlateAcquisition ID="PlateAcquisition:0" StartTime="{began}" MaximumFieldCount="{max_fields}">'
    yield from (f'<WellSampleRef ID="WellSample:{i}"/>' for i in range(samples))
    yield "</PlateAcquisition></Plate>"


def _convention(axis: str, names: Sequence[str]) -> str:
    """Return the NamingConvention attribute if the names are consecutive letters, or numbers."""
    if list(names) == [row_name(i) for i in range(len(names))]:
        return f' {axis}NamingConvention="letter"'
    if list(names) == [str(i + 1) for i in range(len(names))] or all(n.isdigit() for n in names):
        return f' {axis}NamingConvention="number"'
    return ""
