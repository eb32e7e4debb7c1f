"""Zarr v3 at the speed of the disk. This room never reads a frame's pixels but to copy, encode or write them.

A frame's way: `engine` takes it, `assembly` has it copied into a `block` of neighbours, and when that is full hands it
to a background thread, which has `arrays` encode the chunks and put them into files (`storage.zarr`). A small frame
goes `straight` to its file.
"""

from __future__ import annotations

from ome_writers.storage.direct.engine import DirectEngine, open_engine

__all__ = ["DirectEngine", "open_engine"]
