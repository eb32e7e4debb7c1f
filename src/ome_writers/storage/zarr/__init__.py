"""Zarr v3 arrays, independent of engines and frames.

`chunk_grid` maps planes to chunks and shards, `codec` encodes chunks, and `chunk_files` and `shard_file` (with
`shard_index` and `free_list`) write chunks so that readers never see a partial one. `array_metadata` writes
``zarr.json``. `shard_reader`, `array_survey` and `recovery` read what other software, or a crashed writer, has written.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""

from __future__ import annotations

from ome_writers.storage.zarr.array_metadata import (
    BLOSC,
    ZSTD_LEVEL,
    ArrayMetadataWriter,
    array_metadata,
)
from ome_writers.storage.zarr.array_survey import ArraySurvey, Survey
from ome_writers.storage.zarr.chunk_files import ChunkFiles, ChunkKeys
from ome_writers.storage.zarr.chunk_grid import Cell, Grid, ShardPart
from ome_writers.storage.zarr.codec import Codec, decompress
from ome_writers.storage.zarr.recovery import ShardRecovery
from ome_writers.storage.zarr.shard_file import Shard, ShardShape
from ome_writers.storage.zarr.shard_index import EMPTY, ShardIndexFormat, TornIndexError
from ome_writers.storage.zarr.shard_reader import ShardReader

__all__ = [
    "BLOSC",
    "EMPTY",
    "ZSTD_LEVEL",
    "ArrayMetadataWriter",
    "ArraySurvey",
    "Cell",
    "ChunkFiles",
    "ChunkKeys",
    "Codec",
    "Grid",
    "Shard",
    "ShardIndexFormat",
    "ShardPart",
    "ShardReader",
    "ShardRecovery",
    "ShardShape",
    "Survey",
    "TornIndexError",
    "array_metadata",
    "decompress",
]
