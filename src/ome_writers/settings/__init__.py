"""What the user asks for; never looks at the disk or at what is installed."""

from __future__ import annotations

from ome_writers.settings.acquisition import AcquisitionSettings, DTypeStr
from ome_writers.settings.axes import DimensionType, StandardAxis
from ome_writers.settings.coordinates import Camera, Channel, Coordinate, Position
from ome_writers.settings.dimension import Dimension, PositionDimension, dims_from_standard_axes
from ome_writers.settings.formats import (
    BackendName,
    Format,
    OmeTiffFormat,
    OmeZarrFormat,
    ScratchFormat,
    TiffBackendName,
    ZarrBackendName,
)
from ome_writers.settings.plate import Plate, row_name
from ome_writers.settings.rules import (
    Compression,
    DimensionList,
    TiffCompression,
    ZarrCompression,
)
from ome_writers.settings.schedule import Schedule

__all__ = [
    "AcquisitionSettings",
    "BackendName",
    "Camera",
    "Channel",
    "Compression",
    "Coordinate",
    "DTypeStr",
    "Dimension",
    "DimensionList",
    "DimensionType",
    "Format",
    "OmeTiffFormat",
    "OmeZarrFormat",
    "Plate",
    "Position",
    "PositionDimension",
    "Schedule",
    "ScratchFormat",
    "StandardAxis",
    "TiffBackendName",
    "TiffCompression",
    "ZarrBackendName",
    "ZarrCompression",
    "dims_from_standard_axes",
    "row_name",
]
