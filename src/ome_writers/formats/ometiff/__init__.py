"""OME-TIFF metadata: the OME-XML of each file, and which IFD holds which plane. Byte offsets belong to `storage.tiff`.

`models` is imported on first use: it needs ome-types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.ometiff.entry_file import entry_target as entry_target
    from ome_writers.formats.ometiff.entry_file import find_entry_file as find_entry_file
    from ome_writers.formats.ometiff.entry_file import render_entry_file as render_entry_file
    from ome_writers.formats.ometiff.entry_file import render_entry_xml as render_entry_xml
    from ome_writers.formats.ometiff.file_sets import TIFF_SUFFIXES as TIFF_SUFFIXES
    from ome_writers.formats.ometiff.file_sets import first_tiff as first_tiff
    from ome_writers.formats.ometiff.file_sets import ome_xml_files as ome_xml_files
    from ome_writers.formats.ometiff.first_page import metadata_file as metadata_file
    from ome_writers.formats.ometiff.first_page import read_description as read_description
    from ome_writers.formats.ometiff.first_page import read_first_page as read_first_page
    from ome_writers.formats.ometiff.first_page import read_ome_xml as read_ome_xml
    from ome_writers.formats.ometiff.ifd_repair import IfdRepair as IfdRepair
    from ome_writers.formats.ometiff.layout import ifd_runs as ifd_runs
    from ome_writers.formats.ometiff.metadata import TiffMetadata as TiffMetadata
    from ome_writers.formats.ometiff.pixels_element import PlaneRun as PlaneRun
    from ome_writers.formats.ometiff.pixels_element import pixel_sizes as pixel_sizes
    from ome_writers.formats.ometiff.pixels_element import plane_runs as plane_runs
    from ome_writers.formats.ometiff.row import FORMAT as FORMAT
    from ome_writers.formats.ometiff.stored_documents import StoredDocument as StoredDocument
    from ome_writers.formats.ometiff.stored_documents import StoredDocuments as StoredDocuments
    from ome_writers.formats.ometiff.stored_documents import load_documents as load_documents
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".entry_file": (
                "entry_target",
                "find_entry_file",
                "render_entry_file",
                "render_entry_xml",
            ),
            ".file_sets": ("TIFF_SUFFIXES", "first_tiff", "ome_xml_files"),
            ".first_page": ("metadata_file", "read_description", "read_first_page", "read_ome_xml"),
            ".ifd_repair": ("IfdRepair",),
            ".layout": ("ifd_runs",),
            ".metadata": ("TiffMetadata",),
            ".pixels_element": ("PlaneRun", "pixel_sizes", "plane_runs"),
            ".row": ("FORMAT",),
            ".stored_documents": ("StoredDocument", "StoredDocuments", "load_documents"),
        },
    )
