"""Alias of the settings at the private path that published clients import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from ome_writers.settings import (
    AcquisitionSettings,
    Channel,
    Compression,
    Dimension,
    DimensionList,
    DimensionType,
    DTypeStr,
    Format,
    OmeTiffFormat,
    OmeZarrFormat,
    Plate,
    Position,
    PositionDimension,
    ScratchFormat,
    StandardAxis,
    TiffCompression,
    ZarrCompression,
    dims_from_standard_axes,
    engines_of,
)

# The names of the installed engines, for clients that list them. Type checkers accept any.
if TYPE_CHECKING:
    ZarrBackendName: TypeAlias = str
    TiffBackendName: TypeAlias = str
    BackendName: TypeAlias = str
else:
    ZarrBackendName, TiffBackendName = (
        Literal[tuple(row.name for row in engines_of(name))] for name in ("ome-zarr", "ome-tiff")
    )
    BackendName = Literal[ZarrBackendName, TiffBackendName]

__all__ = [
    "AcquisitionSettings",
    "BackendName",
    "Channel",
    "Compression",
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
    "ScratchFormat",
    "StandardAxis",
    "TiffBackendName",
    "TiffCompression",
    "ZarrBackendName",
    "ZarrCompression",
    "dims_from_standard_axes",
]
