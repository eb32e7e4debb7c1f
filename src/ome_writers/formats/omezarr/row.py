"""The rows of OME-Zarr in the table of formats."""

from __future__ import annotations

from typing import Any

from ome_writers.formats.registry import FormatRow, lazy_functions, read_only_settings
from ome_writers.settings import OmeZarrFormat

_lazy = lazy_functions("ome_writers.formats.omezarr")


# Zarr, in all versions
_ZARR: dict[str, Any] = {
    "parse": _lazy("parse:parse_dataset"),
    "ome_xml": _lazy("parse:ome_xml"),
    "frame_metadata": _lazy("parse:read_frames"),
    "derived_images": _lazy("labels:stored_derived_images"),
    "open_pixels": _lazy("pixels:open_pixels"),
    "remote": True,
    "chunked": True,
}

FORMAT_04 = FormatRow(
    settings=read_only_settings("ome-zarr-0.4", "OME-Zarr"),
    recognizes=_lazy("node_metadata:is_zarr_v2"),
    rewritten=_lazy("zarr_v2:rewritten"),
    **_ZARR,
)
FORMAT = FormatRow(
    settings=OmeZarrFormat,
    lay_out=_lazy("layout:lay_out"),
    create_metadata=_lazy("metadata:ZarrMetadata"),
    recognizes=_lazy("node_metadata:is_omezarr"),
    owned_files=_lazy("ownership:owned_files"),
    dataset_id=_lazy("ownership:dataset_id"),
    is_startup_file=_lazy("ownership:is_startup_file"),
    copy_referenced=_lazy("referenced_files:copy_referenced"),
    find_problems=_lazy("repair:find_problems"),
    resumable=_lazy("stored_frames:resumable"),
    extends=True,
    check=_lazy("check:check"),
    edit=_lazy("edit:edit"),
    derived=_lazy("derived:derived_images"),
    has_display_windows=True,
    ngff_versions=("0.5", "0.6"),
    **_ZARR,
)
# recognized as an OME-Zarr, in which `parse_dataset` finds no OME metadata
PLAIN_ZARR = FormatRow(settings=read_only_settings("zarr", "Zarr array"), **_ZARR)
