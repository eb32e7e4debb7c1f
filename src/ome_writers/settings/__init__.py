"""Settings of an acquisition (pydantic models). Independent of the disk and of installed libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.codecs import Compression as Compression
    from ome_writers.codecs import TiffCompression as TiffCompression
    from ome_writers.codecs import ZarrCompression as ZarrCompression
    from ome_writers.settings.acquisition import AcquisitionSettings as AcquisitionSettings
    from ome_writers.settings.acquisition import DTypeStr as DTypeStr
    from ome_writers.settings.acquisition import SettingsFields as SettingsFields
    from ome_writers.settings.camera_noise import CameraNoise as CameraNoise
    from ome_writers.settings.coordinates import Camera as Camera
    from ome_writers.settings.coordinates import Channel as Channel
    from ome_writers.settings.coordinates import Position as Position
    from ome_writers.settings.coordinates import duplicates as duplicates
    from ome_writers.settings.dimension import Dimension as Dimension
    from ome_writers.settings.dimension import DimensionList as DimensionList
    from ome_writers.settings.dimension import DimensionType as DimensionType
    from ome_writers.settings.dimension import PositionDimension as PositionDimension
    from ome_writers.settings.dimension import StandardAxis as StandardAxis
    from ome_writers.settings.dimension import dims_from_standard_axes as dims_from_standard_axes
    from ome_writers.settings.dimension import storage_order_of as storage_order_of
    from ome_writers.settings.dtypes import PIXEL_TYPES as PIXEL_TYPES
    from ome_writers.settings.dtypes import dtype_of as dtype_of
    from ome_writers.settings.engines import ENGINES as ENGINES
    from ome_writers.settings.engines import EngineRow as EngineRow
    from ome_writers.settings.engines import engine_rows as engine_rows
    from ome_writers.settings.engines import engines_of as engines_of
    from ome_writers.settings.engines import find_engine as find_engine
    from ome_writers.settings.engines import installed_formats as installed_formats
    from ome_writers.settings.engines import temporary_targets as temporary_targets
    from ome_writers.settings.experiment import Author as Author
    from ome_writers.settings.experiment import Experiment as Experiment
    from ome_writers.settings.formats import Format as Format
    from ome_writers.settings.formats import FormatSettings as FormatSettings
    from ome_writers.settings.formats import OmeTiffFormat as OmeTiffFormat
    from ome_writers.settings.formats import OmeZarrFormat as OmeZarrFormat
    from ome_writers.settings.formats import ScratchFormat as ScratchFormat
    from ome_writers.settings.formats import format_models as format_models
    from ome_writers.settings.formats import format_suffixes as format_suffixes
    from ome_writers.settings.formats import inferred_format as inferred_format
    from ome_writers.settings.formats import split_suffix as split_suffix
    from ome_writers.settings.instrument import Detector as Detector
    from ome_writers.settings.instrument import Instrument as Instrument
    from ome_writers.settings.instrument import Objective as Objective
    from ome_writers.settings.mirror import Mirror as Mirror
    from ome_writers.settings.mirror import mirror_of as mirror_of
    from ome_writers.settings.model import keyword_arguments as keyword_arguments
    from ome_writers.settings.paths import foreign_ending as foreign_ending
    from ome_writers.settings.paths import read_root_path as read_root_path
    from ome_writers.settings.plate import Plate as Plate
    from ome_writers.settings.plate import row_name as row_name
    from ome_writers.settings.pyramid import MAX_LEVELS as MAX_LEVELS
    from ome_writers.settings.pyramid import Pyramid as Pyramid
    from ome_writers.settings.pyramid import PyramidMethod as PyramidMethod
    from ome_writers.settings.representation import describe_axes as describe_axes
    from ome_writers.settings.representation import describe_names as describe_names
    from ome_writers.settings.representation import html_table as html_table
    from ome_writers.settings.schedule import Schedule as Schedule
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".acquisition": ("AcquisitionSettings", "DTypeStr", "SettingsFields"),
            ".camera_noise": ("CameraNoise",),
            ".coordinates": ("Camera", "Channel", "Position", "duplicates"),
            ".dimension": (
                "Dimension",
                "DimensionList",
                "DimensionType",
                "PositionDimension",
                "StandardAxis",
                "dims_from_standard_axes",
                "storage_order_of",
            ),
            ".dtypes": ("PIXEL_TYPES", "dtype_of"),
            ".engines": (
                "ENGINES",
                "EngineRow",
                "engine_rows",
                "engines_of",
                "find_engine",
                "installed_formats",
                "temporary_targets",
            ),
            ".experiment": ("Author", "Experiment"),
            ".formats": (
                "Format",
                "FormatSettings",
                "OmeTiffFormat",
                "OmeZarrFormat",
                "ScratchFormat",
                "format_models",
                "inferred_format",
                "format_suffixes",
                "split_suffix",
            ),
            ".instrument": ("Detector", "Instrument", "Objective"),
            ".mirror": ("Mirror", "mirror_of"),
            ".model": ("keyword_arguments",),
            ".paths": ("foreign_ending", "read_root_path"),
            ".plate": ("Plate", "row_name"),
            ".pyramid": ("MAX_LEVELS", "Pyramid", "PyramidMethod"),
            ".representation": ("describe_axes", "describe_names", "html_table"),
            ".schedule": ("Schedule",),
            "ome_writers.codecs": ("Compression", "TiffCompression", "ZarrCompression"),
        },
    )
