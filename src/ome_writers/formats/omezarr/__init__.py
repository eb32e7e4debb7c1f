"""OME-Zarr: its metadata, rendered, parsed and edited; reading, recovery and checks of its arrays.

`storage.zarr` writes array metadata and chunks. This package never imports that of another format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.omezarr.image_copy import ImageCopy as ImageCopy
    from ome_writers.formats.omezarr.metadata import MAX_WINDOW_UPDATES as MAX_WINDOW_UPDATES
    from ome_writers.formats.omezarr.ngff_version import (
        convert_ngff_version as convert_ngff_version,
    )
    from ome_writers.formats.omezarr.pyramid import add_label_levels as add_label_levels
    from ome_writers.formats.omezarr.pyramid import add_pyramid as add_pyramid
    from ome_writers.formats.omezarr.row import FORMAT as FORMAT
    from ome_writers.formats.omezarr.row import FORMAT_04 as FORMAT_04
    from ome_writers.formats.omezarr.row import PLAIN_ZARR as PLAIN_ZARR
    from ome_writers.formats.omezarr.stored_groups import open_metadata as open_metadata
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".image_copy": ("ImageCopy",),
            ".metadata": ("MAX_WINDOW_UPDATES",),
            ".ngff_version": ("convert_ngff_version",),
            ".pyramid": ("add_label_levels", "add_pyramid"),
            ".row": ("FORMAT", "FORMAT_04", "PLAIN_ZARR"),
            ".stored_groups": ("open_metadata",),
        },
    )
