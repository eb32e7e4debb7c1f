"""OME-Zarr metadata: the `zarr.json` of each group. Array metadata and chunks belong to `storage.zarr`."""

from __future__ import annotations

from ome_writers.formats.omezarr.group_metadata import (
    KEYS_04,
    group_attributes,
    layout_and_groups,
    ome_writers_attributes,
    read_json_object,
    read_settings,
)
from ome_writers.formats.omezarr.layout import XML_KEY, level_path, stored_layout
from ome_writers.formats.omezarr.metadata import MAX_WINDOW_UPDATES, ZarrMetadata
from ome_writers.formats.omezarr.ngff import ngff_color
from ome_writers.formats.omezarr.parse import parse, read_image_frames, recorded_progress
from ome_writers.formats.omezarr.parse_multiscale import parse_image
from ome_writers.formats.omezarr.transformations import as_transformations, compose
from ome_writers.formats.omezarr.versions import VERSIONS, at_version, scene, with_levels

__all__ = [
    "KEYS_04",
    "MAX_WINDOW_UPDATES",
    "VERSIONS",
    "XML_KEY",
    "ZarrMetadata",
    "as_transformations",
    "at_version",
    "compose",
    "group_attributes",
    "layout_and_groups",
    "level_path",
    "ngff_color",
    "ome_writers_attributes",
    "parse",
    "parse_image",
    "read_image_frames",
    "read_json_object",
    "read_settings",
    "recorded_progress",
    "scene",
    "stored_layout",
    "with_levels",
]
