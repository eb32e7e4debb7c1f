"""BigTIFF files, structure first. This room never knows what a description says, and never moves a page's pixels."""

from __future__ import annotations

from ome_writers.storage.tiff.engine import TiffEngine, open_engine

__all__ = ["TiffEngine", "open_engine"]
