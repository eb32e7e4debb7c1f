"""Frame-by-frame conversion of datasets. The source is not modified, nor read into memory as a whole."""

from __future__ import annotations

from ome_writers.conversion.metadata_edit import edit
from ome_writers.conversion.ngff_version import convert_ngff_version
from ome_writers.conversion.pyramid import add_pyramid
from ome_writers.conversion.source_detection import split_images
from ome_writers.conversion.transfer import Conversion, convert

__all__ = ["Conversion", "add_pyramid", "convert", "convert_ngff_version", "edit", "split_images"]
