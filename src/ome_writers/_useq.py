"""Alias of the useq adapter at the private path that published clients import."""

from __future__ import annotations

from ome_writers_useq import AcquisitionSettingsDict, dims_from_useq, useq_to_acquisition_settings
from ome_writers_useq import build_positions as _build_positions
from ome_writers_useq import plate_from_useq as _plate_from_useq

__all__ = [
    "AcquisitionSettingsDict",
    "_build_positions",
    "_plate_from_useq",
    "dims_from_useq",
    "useq_to_acquisition_settings",
]
