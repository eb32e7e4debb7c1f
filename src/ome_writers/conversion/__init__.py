"""Frame-by-frame conversion of datasets. The source is not modified, nor read into memory as a whole."""

from __future__ import annotations

from ome_writers.conversion.destination import destination_settings, refuse_overlap, with_chunks
from ome_writers.conversion.metadata_edit import edit
from ome_writers.conversion.ngff_version import convert_ngff_version
from ome_writers.conversion.pyramid import add_pyramid
from ome_writers.conversion.ro_crate import write_crate
from ome_writers.conversion.source import (
    Source,
    nested_loop_indices,
    select_images,
    with_values,
)
from ome_writers.conversion.source_detection import (
    convertible_images,
    describe_source,
    provenance,
    split_images,
)
from ome_writers.conversion.transfer import Conversion, convert

__all__ = [
    "Conversion",
    "Source",
    "add_pyramid",
    "convert",
    "convert_ngff_version",
    "convertible_images",
    "describe_source",
    "destination_settings",
    "edit",
    "nested_loop_indices",
    "provenance",
    "refuse_overlap",
    "select_images",
    "split_images",
    "with_chunks",
    "with_values",
    "write_crate",
]
