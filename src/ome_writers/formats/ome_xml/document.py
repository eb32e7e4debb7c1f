"""Whole documents, from their parts."""

from __future__ import annotations

import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from ome_writers.formats.ome_xml.annotations import acquisition_annotation, map_annotation
from ome_writers.formats.ome_xml.images import IfdRuns, axis_letters, cameras, images
from ome_writers.formats.ome_xml.planes import RenderedPlanes, render_planes
from ome_writers.formats.ome_xml.plates import plate
from ome_writers.formats.ome_xml.text import open_root, quote_attribute
from ome_writers.formats.plates import is_plate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ome_writers.formats.dataset_metadata import Outcome
    from ome_writers.formats.frame_metadata import FrameMetadataSource
    from ome_writers.routing import Plan

__all__ = ["Body", "assemble_document", "binary_only", "render", "render_body"]

Body: TypeAlias = "list[bytes]"
"""All that stands inside the root element: the same in every file of a set."""


def render(
    plan: Plan,
    outcome: Outcome,
    frames: FrameMetadataSource | None,
    *,
    metadata: Mapping[str, Mapping[str, Any]] = {},
) -> bytes:
    """Return the OME-XML of an acquisition whose planes lie in files of another format.

    Parameters
    ----------
    plan, outcome
        What was planned, and how it stands.
    frames
        The frames' metadata, or None while they arrive.
    metadata
        Global metadata by namespace: a MapAnnotation each.
    """
    planes = {}
    if frames is not None:
        for one in plan.images:
            if frames.count(one.number):
                lines = partial(frames.lines, one.number)
                planes[one.number] = render_planes(one.number, lines, axis_letters(one))
    now = datetime.datetime.now(datetime.timezone.utc)
    return assemble_document(
        render_body(plan, outcome.shapes, began=now, planes=planes, metadata=metadata), None
    )


def render_body(
    plan: Plan,
    shapes: Sequence[Sequence[int]],
    *,
    began: datetime.datetime,
    pages: Sequence[IfdRuns] | None = None,
    planes: Mapping[int, RenderedPlanes] = {},
    metadata: Mapping[str, Mapping[str, Any]] = {},
    facts: Mapping[str, Any] | None = None,
) -> Body:
    """Return what stands inside the root element.

    Parameters
    ----------
    plan
        What was planned.
    shapes
        The shape of each image's array.
    began
        When the acquisition began.
    pages
        Where each image's planes lie; None for planes in files of another format.
    planes
        Image number to what is known of its planes.
    metadata
        Global metadata by namespace: a MapAnnotation each.
    facts
        What this library records of the acquisition.
    """
    start = began.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    head: list[str] = []
    if is_plate(plan):
        head.extend(plate(plan, began=start))
    detectors = cameras(plan)
    if detectors:
        parts = (
            f'<Detector ID="{id_}" Model={quote_attribute(n)}/>' for n, id_ in detectors.items()
        )
        head.append(f'<Instrument ID="Instrument:0">{"".join(parts)}</Instrument>')
    body = ["".join(head).encode()]
    body.extend(images(plan, shapes, began=start, detectors=detectors, pages=pages, planes=planes))
    annotations = [] if facts is None else [acquisition_annotation(facts).encode()]
    annotations += [
        map_annotation(f"Annotation:{i}", namespace, pairs).encode()
        for i, (namespace, pairs) in enumerate(metadata.items())
    ]
    annotations += [known.annotations for known in planes.values()]
    if any(annotations):
        body += [b"<StructuredAnnotations>", *annotations, b"</StructuredAnnotations>"]
    return body


def assemble_document(body: Body, uuid: str | None) -> bytes:
    """Return the document of the file that has this UUID."""
    return b"".join([open_root(uuid).encode(), *body, b"</OME>"])


def binary_only(uuid: str, file: str, file_uuid: str) -> bytes:
    """Return the document of a file whose metadata are those of another file of its set."""
    element = f'<BinaryOnly MetadataFile={quote_attribute(file)} UUID="{file_uuid}"/></OME>'
    return (open_root(uuid) + element).encode()
