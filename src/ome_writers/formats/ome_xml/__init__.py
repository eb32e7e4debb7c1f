"""OME-XML rendering and its inverse, as stateless functions on text: no object per plane, so that a million are fast.

Source of all names, orders and types: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

from ome_writers.formats.ome_xml.annotations import (
    FRAME_NAMESPACE,
    OWN_NAMESPACE,
    annotation_pairs,
    frames_written_in,
    map_annotation,
    namespace_uri,
    read_acquisition_annotation,
    strip_progress,
)
from ome_writers.formats.ome_xml.document import (
    Body,
    assemble_document,
    binary_only,
    render_body,
)
from ome_writers.formats.ome_xml.images import (
    IfdRuns,
    axis_letters,
    dimension_order,
    ome_color,
)
from ome_writers.formats.ome_xml.instrument import significant_bits
from ome_writers.formats.ome_xml.planes import PLANE_ATTRIBUTES, RenderedPlanes, render_planes
from ome_writers.formats.ome_xml.text import NAMESPACE

__all__ = [
    "FRAME_NAMESPACE",
    "NAMESPACE",
    "OWN_NAMESPACE",
    "PLANE_ATTRIBUTES",
    "Body",
    "IfdRuns",
    "RenderedPlanes",
    "annotation_pairs",
    "assemble_document",
    "axis_letters",
    "binary_only",
    "dimension_order",
    "frames_written_in",
    "map_annotation",
    "namespace_uri",
    "ome_color",
    "read_acquisition_annotation",
    "render_body",
    "render_planes",
    "significant_bits",
    "strip_progress",
]
