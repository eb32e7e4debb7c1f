"""OME-TIFF: the OME-XML of each file, rendered, parsed and edited; reading, recovery and checks of its pages.

`storage.tiff` writes pages. This package never imports that of OME-Zarr.

`models` is imported on first use: it needs ome-types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.ometiff.file_sets import first_tiff as first_tiff
    from ome_writers.formats.ometiff.first_page import read_ome_xml as read_ome_xml
    from ome_writers.formats.ometiff.row import FORMAT as FORMAT
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".file_sets": ("first_tiff",),
            ".first_page": ("read_ome_xml",),
            ".row": ("FORMAT",),
        },
    )
