"""Acquisitions that Micro-Manager and pycro-manager wrote as NDTiff or with one file per image. They are only read.

Micro-Manager's third format, image stack files, is OME-TIFF; `formats.ometiff.micromanager` reads their metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.micromanager.acquisition import NAMESPACE as NAMESPACE
    from ome_writers.formats.micromanager.acquisition import Acquisition as Acquisition
    from ome_writers.formats.micromanager.acquisition import channel_color as channel_color
    from ome_writers.formats.micromanager.acquisition import frame_metadata as frame_metadata
    from ome_writers.formats.micromanager.acquisition import written_by as written_by
    from ome_writers.formats.micromanager.image_files import IMAGE_FILES as IMAGE_FILES
    from ome_writers.formats.micromanager.ndtiff import NDTIFF as NDTIFF
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".acquisition": (
                "Acquisition",
                "NAMESPACE",
                "channel_color",
                "frame_metadata",
                "written_by",
            ),
            ".image_files": ("IMAGE_FILES",),
            ".ndtiff": ("NDTIFF",),
        },
    )
