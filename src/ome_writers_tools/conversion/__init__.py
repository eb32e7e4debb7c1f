"""Frame-by-frame conversion of datasets. The source is not modified, nor read into memory as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.toolkit import lazy_exports

if TYPE_CHECKING:
    from ome_writers_tools.conversion.bigstitcher import write_bigstitcher as write_bigstitcher
    from ome_writers_tools.conversion.destination import (
        destination_settings as destination_settings,
    )
    from ome_writers_tools.conversion.destination import refuse_overlap as refuse_overlap
    from ome_writers_tools.conversion.destination import with_checksum as with_checksum
    from ome_writers_tools.conversion.destination import with_chunks as with_chunks
    from ome_writers_tools.conversion.labels_and_levels import derived_names as derived_names
    from ome_writers_tools.conversion.metadata_edit import edit as edit
    from ome_writers_tools.conversion.ro_crate import write_crate as write_crate
    from ome_writers_tools.conversion.selection import Selection as Selection
    from ome_writers_tools.conversion.selection import nested_loop_indices as nested_loop_indices
    from ome_writers_tools.conversion.selection import with_values as with_values
    from ome_writers_tools.conversion.source_detection import (
        convertible_images as convertible_images,
    )
    from ome_writers_tools.conversion.source_detection import describe_source as describe_source
    from ome_writers_tools.conversion.source_detection import provenance as provenance
    from ome_writers_tools.conversion.source_detection import split_images as split_images
    from ome_writers_tools.conversion.transfer import Conversion as Conversion
    from ome_writers_tools.conversion.transfer import convert as convert
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".bigstitcher": ("write_bigstitcher",),
            ".destination": (
                "destination_settings",
                "refuse_overlap",
                "with_checksum",
                "with_chunks",
            ),
            ".labels_and_levels": ("derived_names",),
            ".metadata_edit": ("edit",),
            ".ro_crate": ("write_crate",),
            ".selection": ("Selection", "nested_loop_indices", "with_values"),
            ".source_detection": (
                "convertible_images",
                "describe_source",
                "provenance",
                "split_images",
            ),
            ".transfer": ("Conversion", "convert"),
        },
    )
