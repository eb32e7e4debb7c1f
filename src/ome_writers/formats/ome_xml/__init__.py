"""OME-XML, rendered as text: no object a plane, so that a million planes stay fast.

It never keeps anything: plan, outcome and frame records in, bytes out. Source of all names, orders and types:
https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

from ome_writers.formats.ome_xml.annotations import (
    FRAME_NAMESPACE,
    OWN_NAMESPACE,
    acquisition_annotation,
    acquisition_facts,
    facts_of,
    map_annotation,
    uri,
)
from ome_writers.formats.ome_xml.document import Body, binary_only, render, render_body, whole
from ome_writers.formats.ome_xml.images import Pages, dimension_order, letters
from ome_writers.formats.ome_xml.planes import Planes, render_planes
from ome_writers.formats.ome_xml.text import NAMESPACE

__all__ = [
    "FRAME_NAMESPACE",
    "NAMESPACE",
    "OWN_NAMESPACE",
    "Body",
    "Pages",
    "Planes",
    "acquisition_annotation",
    "acquisition_facts",
    "binary_only",
    "dimension_order",
    "facts_of",
    "letters",
    "map_annotation",
    "render",
    "render_body",
    "render_planes",
    "uri",
    "whole",
]
