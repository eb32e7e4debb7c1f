"""Writing of BigTIFF files; `formats.ometiff` reads and recovers them.

This package does not interpret descriptions and never moves pixels that were written.

`engine` gathers frames of adjacent pages in `page_blocks`; a background thread writes each block to its `file`.
`geometry` computes offsets, `ifd` and `ifd_encoder` encode the IFDs, `page_store` writes pixels and publishes their
pages (`page_visibility`), `allocator` assigns space after the planes. `existing_file` continues a file, whose IFDs
`scattered_read` reads. `ifd_chain` is the final chain of a run that ends early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.storage.tiff.checksums import checksum_of as checksum_of
    from ome_writers.storage.tiff.checksums import write_reference as write_reference
    from ome_writers.storage.tiff.engine import TiffEngine as TiffEngine
    from ome_writers.storage.tiff.ifd import CHECKSUM as CHECKSUM
    from ome_writers.storage.tiff.ifd import DESCRIPTION as DESCRIPTION
    from ome_writers.storage.tiff.ifd import ENTRY_BYTES as ENTRY_BYTES
    from ome_writers.storage.tiff.ifd import HEADER as HEADER
    from ome_writers.storage.tiff.ifd import STRIP_BYTE_COUNTS as STRIP_BYTE_COUNTS
    from ome_writers.storage.tiff.ifd import STRIP_OFFSETS as STRIP_OFFSETS
    from ome_writers.storage.tiff.ifd import SUB_IFDS as SUB_IFDS
    from ome_writers.storage.tiff.ifd import TILE_BYTE_COUNTS as TILE_BYTE_COUNTS
    from ome_writers.storage.tiff.ifd import TILE_LENGTH as TILE_LENGTH
    from ome_writers.storage.tiff.ifd import TILE_OFFSETS as TILE_OFFSETS
    from ome_writers.storage.tiff.ifd import TILE_WIDTH as TILE_WIDTH
    from ome_writers.storage.tiff.ifd import PageKind as PageKind
    from ome_writers.storage.tiff.ifd import aligned as aligned
    from ome_writers.storage.tiff.ifd_template import IfdTemplate as IfdTemplate
    from ome_writers.storage.tiff.page_tags import expected_tags as expected_tags
    from ome_writers.storage.tiff.scattered_read import as_numbers as as_numbers
    from ome_writers.storage.tiff.scattered_read import read_pieces as read_pieces
    from ome_writers.storage.tiff.tiles import TileGrid as TileGrid
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".checksums": ("checksum_of", "write_reference"),
            ".engine": ("TiffEngine",),
            ".ifd": (
                "CHECKSUM",
                "DESCRIPTION",
                "ENTRY_BYTES",
                "HEADER",
                "PageKind",
                "STRIP_BYTE_COUNTS",
                "STRIP_OFFSETS",
                "SUB_IFDS",
                "TILE_BYTE_COUNTS",
                "TILE_LENGTH",
                "TILE_OFFSETS",
                "TILE_WIDTH",
                "aligned",
            ),
            ".ifd_template": ("IfdTemplate",),
            ".page_tags": ("expected_tags",),
            ".scattered_read": ("as_numbers", "read_pieces"),
            ".tiles": ("TileGrid",),
        },
    )
