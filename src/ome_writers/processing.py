"""The functions for `ome_writers.process`."""

from __future__ import annotations

from ome_writers_tools.processing import (
    Bin,
    Crop,
    FlatField,
    Maximum,
    Mean,
    Minimum,
    PlaneFunction,
    StandardDeviation,
    Sum,
)

__all__ = [
    "Bin",
    "Crop",
    "FlatField",
    "Maximum",
    "Mean",
    "Minimum",
    "PlaneFunction",
    "StandardDeviation",
    "Sum",
]
