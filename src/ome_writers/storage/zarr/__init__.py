"""Writing of Zarr v3 arrays, independent of engines and frames; `formats.omezarr` reads and recovers them.

`chunk_grid` maps planes to chunks and shards, `codec` encodes chunks, and `chunk_files` and `shard_file` (with
`shard_index` and `free_list`) write chunks so that readers never see a partial one; `growing_chunk` publishes an
uncompressed chunk while it is filled. `array_metadata` writes ``zarr.json``. `chunk_file` reads stored chunks,
`shard_reader` the shards that a library has written, as part of writing.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.storage.zarr.array_metadata import ArrayMetadataWriter as ArrayMetadataWriter
    from ome_writers.storage.zarr.array_metadata import (
        render_array_metadata as render_array_metadata,
    )
    from ome_writers.storage.zarr.chunk_file import ChunkEncoding as ChunkEncoding
    from ome_writers.storage.zarr.chunk_file import ChunkFile as ChunkFile
    from ome_writers.storage.zarr.chunk_file import ChunkReader as ChunkReader
    from ome_writers.storage.zarr.chunk_files import ChunkFiles as ChunkFiles
    from ome_writers.storage.zarr.chunk_files import ChunkKeys as ChunkKeys
    from ome_writers.storage.zarr.chunk_grid import Cell as Cell
    from ome_writers.storage.zarr.chunk_grid import Grid as Grid
    from ome_writers.storage.zarr.chunk_grid import ShardPart as ShardPart
    from ome_writers.storage.zarr.codec import Codec as Codec
    from ome_writers.storage.zarr.growing_chunk import GrowingChunk as GrowingChunk
    from ome_writers.storage.zarr.shard_file import Shard as Shard
    from ome_writers.storage.zarr.shard_file import ShardShape as ShardShape
    from ome_writers.storage.zarr.shard_index import EMPTY as EMPTY
    from ome_writers.storage.zarr.shard_index import ShardIndexFormat as ShardIndexFormat
    from ome_writers.storage.zarr.shard_index import TornIndexError as TornIndexError
    from ome_writers.storage.zarr.shard_reader import ShardReader as ShardReader
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".array_metadata": ("ArrayMetadataWriter", "render_array_metadata"),
            ".chunk_file": ("ChunkEncoding", "ChunkFile", "ChunkReader"),
            ".chunk_files": ("ChunkFiles", "ChunkKeys"),
            ".chunk_grid": ("Cell", "Grid", "ShardPart"),
            ".codec": ("Codec",),
            ".growing_chunk": ("GrowingChunk",),
            ".shard_file": ("Shard", "ShardShape"),
            ".shard_index": ("EMPTY", "ShardIndexFormat", "TornIndexError"),
            ".shard_reader": ("ShardReader",),
        },
    )
