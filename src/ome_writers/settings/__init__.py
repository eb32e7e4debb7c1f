"""Settings of an acquisition (pydantic models). Independent of the disk and of installed libraries."""

from __future__ import annotations

from ome_writers.settings.acquisition import AcquisitionSettings, DTypeStr, SettingsFields
from ome_writers.settings.axes import DimensionType, StandardAxis
from ome_writers.settings.consistency import DimensionList
from ome_writers.settings.coordinates import Camera, Channel, Position, duplicates
from ome_writers.settings.dimension import Dimension, PositionDimension, dims_from_standard_axes
from ome_writers.settings.dtypes import PIXEL_TYPES, dtype_of
from ome_writers.settings.engines import (
    ENGINES,
    Compression,
    EngineRow,
    TiffCompression,
    ZarrCompression,
    engines_of,
    find_engine,
    installed_formats,
    temporary_targets,
)
from ome_writers.settings.experiment import Author, Experiment
from ome_writers.settings.format_names import (
    BackendName,
    Format,
    TiffBackendName,
    ZarrBackendName,
    inferred_format,
)
from ome_writers.settings.formats import (
    FormatSettings,
    OmeTiffFormat,
    OmeZarrFormat,
    ScratchFormat,
    format_models,
    split_suffix,
)
from ome_writers.settings.instrument import Detector, Instrument, Objective
from ome_writers.settings.model import keyword_arguments
from ome_writers.settings.paths import foreign_ending, read_root_path
from ome_writers.settings.plate import Plate, row_name
from ome_writers.settings.pyramid import MAX_LEVELS, Pyramid, PyramidMethod
from ome_writers.settings.schedule import Schedule

__all__ = [
    "ENGINES",
    "MAX_LEVELS",
    "PIXEL_TYPES",
    "AcquisitionSettings",
    "Author",
    "BackendName",
    "Camera",
    "Channel",
    "Compression",
    "DTypeStr",
    "Detector",
    "Dimension",
    "DimensionList",
    "DimensionType",
    "EngineRow",
    "Experiment",
    "Format",
    "FormatSettings",
    "Instrument",
    "Objective",
    "OmeTiffFormat",
    "OmeZarrFormat",
    "Plate",
    "Position",
    "PositionDimension",
    "Pyramid",
    "PyramidMethod",
    "Schedule",
    "ScratchFormat",
    "SettingsFields",
    "StandardAxis",
    "TiffBackendName",
    "TiffCompression",
    "ZarrBackendName",
    "ZarrCompression",
    "dims_from_standard_axes",
    "dtype_of",
    "duplicates",
    "engines_of",
    "find_engine",
    "foreign_ending",
    "format_models",
    "inferred_format",
    "installed_formats",
    "keyword_arguments",
    "read_root_path",
    "row_name",
    "split_suffix",
    "temporary_targets",
]
