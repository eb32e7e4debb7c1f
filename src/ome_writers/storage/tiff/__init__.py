"""BigTIFF files. This package does not interpret descriptions and never moves pixels that were written.

`engine` gathers frames of adjacent pages in `page_blocks`; a background thread writes each block to its `file`.
`geometry` computes offsets, `ifd` and `ifd_encoder` encode the IFDs, `page_store` writes pixels and publishes their
pages (`page_visibility`), `allocator` assigns space after the planes. `ifd_chain` is the final chain of a run that ends
early. `ifd_repair` and `stored_levels` are for files that no writer has open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.storage.tiff.engine import TiffEngine as TiffEngine
    from ome_writers.storage.tiff.ifd_repair import IfdRepair as IfdRepair
    from ome_writers.storage.tiff.stored_levels import StoredLevels as StoredLevels
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".engine": ("TiffEngine",),
            ".ifd_repair": ("IfdRepair",),
            ".stored_levels": ("StoredLevels",),
        },
    )
