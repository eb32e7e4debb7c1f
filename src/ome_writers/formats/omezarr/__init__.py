"""OME-Zarr metadata: the `zarr.json` of each group. Array metadata and chunks belong to `storage.zarr`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats.omezarr.group_metadata import group_attributes as group_attributes
    from ome_writers.formats.omezarr.group_metadata import layout_and_groups as layout_and_groups
    from ome_writers.formats.omezarr.group_metadata import (
        ome_writers_attributes as ome_writers_attributes,
    )
    from ome_writers.formats.omezarr.group_metadata import read_settings as read_settings
    from ome_writers.formats.omezarr.image_copy import ImageCopy as ImageCopy
    from ome_writers.formats.omezarr.layout import XML_KEY as XML_KEY
    from ome_writers.formats.omezarr.layout import stored_layout as stored_layout
    from ome_writers.formats.omezarr.metadata import MAX_WINDOW_UPDATES as MAX_WINDOW_UPDATES
    from ome_writers.formats.omezarr.metadata import ZarrMetadata as ZarrMetadata
    from ome_writers.formats.omezarr.ngff import ngff_color as ngff_color
    from ome_writers.formats.omezarr.ngff_version import (
        convert_ngff_version as convert_ngff_version,
    )
    from ome_writers.formats.omezarr.parse import parse_dataset as parse_dataset
    from ome_writers.formats.omezarr.parse import read_image_frames as read_image_frames
    from ome_writers.formats.omezarr.parse import recorded_progress as recorded_progress
    from ome_writers.formats.omezarr.pixels import ZarrArray as ZarrArray
    from ome_writers.formats.omezarr.pixels import open_array as open_array
    from ome_writers.formats.omezarr.pyramid import add_pyramid as add_pyramid
    from ome_writers.formats.omezarr.row import FORMAT as FORMAT
    from ome_writers.formats.omezarr.row import FORMAT_04 as FORMAT_04
    from ome_writers.formats.omezarr.row import PLAIN_ZARR as PLAIN_ZARR
    from ome_writers.formats.omezarr.stored_groups import open_metadata as open_metadata
    from ome_writers.formats.omezarr.versions import VERSIONS as VERSIONS
    from ome_writers.formats.omezarr.versions import at_version as at_version
    from ome_writers.formats.omezarr.versions import scene as scene
    from ome_writers.formats.omezarr.versions import with_levels as with_levels
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".group_metadata": (
                "group_attributes",
                "layout_and_groups",
                "ome_writers_attributes",
                "read_settings",
            ),
            ".image_copy": ("ImageCopy",),
            ".layout": ("XML_KEY", "stored_layout"),
            ".metadata": ("MAX_WINDOW_UPDATES", "ZarrMetadata"),
            ".ngff": ("ngff_color",),
            ".ngff_version": ("convert_ngff_version",),
            ".parse": ("parse_dataset", "read_image_frames", "recorded_progress"),
            ".pixels": ("ZarrArray", "open_array"),
            ".pyramid": ("add_pyramid",),
            ".row": ("FORMAT", "FORMAT_04", "PLAIN_ZARR"),
            ".stored_groups": ("open_metadata",),
            ".versions": ("VERSIONS", "at_version", "scene", "with_levels"),
        },
    )
