"""Zarr v3 at the speed of the disk. This room never reads a frame's pixels but to copy, encode or write them.

A frame's way: `engine` takes it, `assembly` copies it into memory of the `pool` until a run of whole chunks is
together, a background thread has `arrays` encode the chunks and hand them to files (`storage.zarr`). Small frames go
to their file at once (`pace`).
"""

from __future__ import annotations

from ome_writers.storage.direct.engine import DirectEngine, open_engine

__all__ = ["DirectEngine", "open_engine"]
