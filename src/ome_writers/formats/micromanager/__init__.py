"""Acquisitions that Micro-Manager and pycro-manager wrote as NDTiff or with one file per image. They are only read.

Micro-Manager's third format, image stack files, is OME-TIFF; `formats.ometiff.micromanager` reads their metadata.
"""

from __future__ import annotations

from ome_writers.formats.micromanager.acquisition import (
    NAMESPACE,
    Acquisition,
    channel_color,
    frame_metadata,
    written_by,
)
from ome_writers.formats.micromanager.image_files import read_image_files
from ome_writers.formats.micromanager.ndtiff import read_ndtiff

__all__ = [
    "NAMESPACE",
    "Acquisition",
    "channel_color",
    "frame_metadata",
    "read_image_files",
    "read_ndtiff",
    "written_by",
]
