"""OME-TIFF metadata: the OME-XML of each file, and which IFD holds which plane. Byte offsets belong to `storage.tiff`.

`models` is imported on first use: it needs ome-types.
"""

from __future__ import annotations

from ome_writers.formats.ometiff.entry_file import (
    entry_file_target,
    find_entry_file,
    render_entry_file,
    render_entry_xml,
)
from ome_writers.formats.ometiff.file_sets import TIFF_SUFFIXES, first_tiff, ome_xml_files
from ome_writers.formats.ometiff.first_page import (
    metadata_file,
    parse_ome_xml,
    parse_once,
    read_first_page,
    read_ome_xml,
)
from ome_writers.formats.ometiff.layout import ifd_runs
from ome_writers.formats.ometiff.metadata import TiffMetadata
from ome_writers.formats.ometiff.pixels import PlaneRun, image_elements, pixel_sizes, plane_runs
from ome_writers.formats.ometiff.stored_documents import (
    StoredDocument,
    StoredDocuments,
    load_documents,
)

__all__ = [
    "TIFF_SUFFIXES",
    "PlaneRun",
    "StoredDocument",
    "StoredDocuments",
    "TiffMetadata",
    "entry_file_target",
    "find_entry_file",
    "first_tiff",
    "ifd_runs",
    "image_elements",
    "load_documents",
    "metadata_file",
    "ome_xml_files",
    "parse_ome_xml",
    "parse_once",
    "pixel_sizes",
    "plane_runs",
    "read_first_page",
    "read_ome_xml",
    "render_entry_file",
    "render_entry_xml",
]
