"""BigTIFF files. This package does not interpret descriptions and never moves pixels that were written.

`engine` gathers frames of adjacent pages in `page_blocks`; a background thread writes each block to its `file`, through
`codec` if it is compressed. `geometry` computes offsets, `ifd` and `ifd_encoder` encode the IFDs, `page_store` writes
pixels and publishes their pages (`page_visibility`), `allocator` assigns space after the planes. `ifd_chain` is the
final chain of a run that ends early. `ifd_repair` and `stored_levels` are for files that no writer has open.
"""

from __future__ import annotations

from ome_writers.storage.tiff.engine import TiffEngine
from ome_writers.storage.tiff.ifd_repair import IfdRepair
from ome_writers.storage.tiff.stored_levels import StoredLevels

__all__ = ["IfdRepair", "StoredLevels", "TiffEngine"]
