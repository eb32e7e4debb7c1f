"""OME-TIFF metadata: the OME-XML of each file, and which IFD holds which plane. Byte offsets belong to `storage.tiff`.

`metadata` and `models` are imported on first use: `models` needs ome-types.
"""

from __future__ import annotations

from ome_writers.formats.ometiff.entry_file import (
    entry_file_target,
    find_entry_file,
    render_entry_file,
    render_entry_xml,
    resolve_entry_file,
)
from ome_writers.formats.ometiff.first_page import (
    metadata_file,
    parse_ome_xml,
    read_first_page,
    read_ome_xml,
    referenced_metadata_file,
)
from ome_writers.formats.ometiff.pixels import PlaneRun, image_elements, pixel_sizes, plane_runs
from ome_writers.formats.ometiff.recovery_xml import RecoveredImage, RecoveryXml, Run

__all__ = [
    "PlaneRun",
    "RecoveredImage",
    "RecoveryXml",
    "Run",
    "entry_file_target",
    "find_entry_file",
    "image_elements",
    "metadata_file",
    "parse_ome_xml",
    "pixel_sizes",
    "plane_runs",
    "read_first_page",
    "read_ome_xml",
    "referenced_metadata_file",
    "render_entry_file",
    "render_entry_xml",
    "resolve_entry_file",
]
