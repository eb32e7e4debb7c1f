"""OME-XML rendering and its inverse, as stateless functions on text: no object per plane, so that a million are fast.

Source of all names, orders and types: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.ome_xml.annotations import FRAME_NAMESPACE as FRAME_NAMESPACE
    from ome_writers.formats.ome_xml.annotations import OWN_NAMESPACE as OWN_NAMESPACE
    from ome_writers.formats.ome_xml.annotations import annotation_pairs as annotation_pairs
    from ome_writers.formats.ome_xml.annotations import frames_written_in as frames_written_in
    from ome_writers.formats.ome_xml.annotations import is_same_acquisition as is_same_acquisition
    from ome_writers.formats.ome_xml.annotations import map_annotation as map_annotation
    from ome_writers.formats.ome_xml.annotations import namespace_uri as namespace_uri
    from ome_writers.formats.ome_xml.annotations import (
        read_acquisition_annotation as read_acquisition_annotation,
    )
    from ome_writers.formats.ome_xml.annotations import strip_progress as strip_progress
    from ome_writers.formats.ome_xml.document import Body as Body
    from ome_writers.formats.ome_xml.document import assemble_document as assemble_document
    from ome_writers.formats.ome_xml.document import binary_only as binary_only
    from ome_writers.formats.ome_xml.document import render_body as render_body
    from ome_writers.formats.ome_xml.edit import edited_xml as edited_xml
    from ome_writers.formats.ome_xml.images import ACQUISITION_ORDER as ACQUISITION_ORDER
    from ome_writers.formats.ome_xml.images import IfdRuns as IfdRuns
    from ome_writers.formats.ome_xml.images import axis_letters as axis_letters
    from ome_writers.formats.ome_xml.images import dimension_order as dimension_order
    from ome_writers.formats.ome_xml.instrument import significant_bits as significant_bits
    from ome_writers.formats.ome_xml.parsing import image_elements as image_elements
    from ome_writers.formats.ome_xml.parsing import parse_ome_xml as parse_ome_xml
    from ome_writers.formats.ome_xml.parsing import parse_once as parse_once
    from ome_writers.formats.ome_xml.parsing import reject_doctype as reject_doctype
    from ome_writers.formats.ome_xml.planes import PLANE_ATTRIBUTES as PLANE_ATTRIBUTES
    from ome_writers.formats.ome_xml.planes import RenderedPlanes as RenderedPlanes
    from ome_writers.formats.ome_xml.planes import render_planes as render_planes
    from ome_writers.formats.ome_xml.text import NAMESPACE as NAMESPACE
    from ome_writers.formats.ome_xml.text import ROOT_UUID as ROOT_UUID
    from ome_writers.formats.ome_xml.text import root_uuid as root_uuid
    from ome_writers.formats.ome_xml.text import with_warning as with_warning
    from ome_writers.formats.ome_xml.text import without_warning as without_warning
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".annotations": (
                "FRAME_NAMESPACE",
                "OWN_NAMESPACE",
                "annotation_pairs",
                "frames_written_in",
                "is_same_acquisition",
                "map_annotation",
                "namespace_uri",
                "read_acquisition_annotation",
                "strip_progress",
            ),
            ".document": ("Body", "assemble_document", "binary_only", "render_body"),
            ".edit": ("edited_xml",),
            ".images": ("ACQUISITION_ORDER", "IfdRuns", "axis_letters", "dimension_order"),
            ".instrument": ("significant_bits",),
            ".parsing": ("image_elements", "parse_ome_xml", "parse_once", "reject_doctype"),
            ".planes": ("PLANE_ATTRIBUTES", "RenderedPlanes", "render_planes"),
            ".text": ("NAMESPACE", "ROOT_UUID", "root_uuid", "with_warning", "without_warning"),
        },
    )
