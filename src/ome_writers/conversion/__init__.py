"""From one dataset to another, frame by frame. This room never changes what it reads, and never holds all of it."""

from __future__ import annotations

from ome_writers.conversion.source_detection import split_images
from ome_writers.conversion.transfer import Conversion, convert

__all__ = ["Conversion", "convert", "split_images"]
