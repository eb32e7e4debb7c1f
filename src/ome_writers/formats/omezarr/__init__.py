"""OME-Zarr metadata: the `zarr.json` of each group. Array metadata and chunks belong to `storage.zarr`."""

from __future__ import annotations

from ome_writers.formats.omezarr.group_metadata import (
    group_attributes,
    image_groups,
    layout_and_groups,
    ome_writers_attributes,
    plan_from_settings,
    read_json_object,
)
from ome_writers.formats.omezarr.layout import XML_KEY, stored_layout
from ome_writers.formats.omezarr.metadata import MAX_WINDOW_UPDATES, ZarrMetadata

__all__ = [
    "MAX_WINDOW_UPDATES",
    "XML_KEY",
    "ZarrMetadata",
    "group_attributes",
    "image_groups",
    "layout_and_groups",
    "ome_writers_attributes",
    "plan_from_settings",
    "read_json_object",
    "stored_layout",
]
