"""Process a dataset block by block on any executor. The source is not modified."""

from __future__ import annotations

from ome_writers.processing.functions import Bin, Crop, FlatField, Maximum, Mean, PlaneFunction
from ome_writers.processing.run import process

__all__ = ["Bin", "Crop", "FlatField", "Maximum", "Mean", "PlaneFunction", "process"]
