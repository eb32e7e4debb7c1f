"""Zarr v3 at the speed of the disk. This room never reads a frame's pixels but to copy, encode or write them.

A frame's way: `engine` takes it, `assembly` copies it into memory of the `pool` until a run of whole chunks is
together, a background thread encodes the chunks (`codec`) and hands them to `chunks` (a file each) or
`shards` (many in a file). Where a frame belongs is arithmetic of `grid`.
"""

from __future__ import annotations

from ome_writers.storage.direct.engine import DirectEngine, open_engine

__all__ = ["DirectEngine", "open_engine"]
