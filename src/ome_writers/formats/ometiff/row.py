"""The row of OME-TIFF in the table of formats."""

from __future__ import annotations

from ome_writers.formats.registry import FormatRow, lazy_functions
from ome_writers.settings import OmeTiffFormat

_lazy = lazy_functions("ome_writers.formats.ometiff")

FORMAT = FormatRow(
    settings=OmeTiffFormat,
    lay_out=_lazy("layout:lay_out"),
    create_metadata=_lazy("metadata:TiffMetadata"),
    recognizes=_lazy("file_sets:is_ometiff"),
    owned_files=_lazy("ownership:owned_files"),
    dataset_id=_lazy("ownership:dataset_id"),
    is_startup_file=_lazy("ownership:is_startup_file"),
    parse=_lazy("parse:parse"),
    entry_target=_lazy("entry_file:entry_target"),
    file_datasets=_lazy("file_sets:tiff_datasets"),
    files=_lazy("parse:files"),
    ome_xml=_lazy("parse:ome_xml"),
    frame_metadata=_lazy("frame_metadata:read_frames"),
    open_pixels=_lazy("pixels:open_pixels"),
    find_problems=_lazy("repair:find_problems"),
    extends=True,
    resumable=_lazy("stored_frames:resumable"),
    check=_lazy("check:check"),
    edit=_lazy("edit:edit"),
    put=_lazy("edit:put"),
    derived=_lazy("derived:derived_images"),
    derived_images=_lazy("derived:stored_derived_images"),
    index_axes=_lazy("frame_metadata:index_axes"),
    image_named_after_file=True,
    lists_empty_planes=True,
    version="2016-06",
)
