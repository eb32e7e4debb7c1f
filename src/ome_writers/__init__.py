"""Stream microscope camera frames to OME-Zarr and OME-TIFF while the microscope runs."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from ome_writers.errors import (
    EndOfAcquisitionError,
    EngineMissingError,
    FrameBufferError,
    FrameShapeError,
    FrameTypeError,
    InvalidFileError,
    MetadataError,
    MovedFileError,
    OMEWritersError,
    OutputExistsError,
    OutputLockedError,
    RestartError,
    SettingsError,
    StreamClosedError,
    UnclosedStreamWarning,
    UnsupportedError,
    UploadError,
    WriteError,
)
from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.dataset import ArraySpec, AxisSpec, DatasetSpec, ImageSpec, LevelSpec
    from ome_writers.formats import frame_table, read, read_frame_metadata
    from ome_writers.formats.omezarr import add_pyramid, convert_ngff_version
    from ome_writers.repair import repair as repair  # the package, which is callable
    from ome_writers.settings import (
        AcquisitionSettings,
        Author,
        Camera,
        CameraNoise,
        Channel,
        Detector,
        Dimension,
        Experiment,
        Instrument,
        Mirror,
        Objective,
        OmeTiffFormat,
        OmeZarrFormat,
        Plate,
        Position,
        PositionDimension,
        Pyramid,
        Schedule,
        ScratchFormat,
        SettingsFields,
        StandardAxis,
        dims_from_standard_axes,
    )
    from ome_writers.streaming import (
        CoordUpdate,
        DerivedStream,
        OMEStream,
        add_labels,
        create_stream,
        resume,
    )
    from ome_writers.validation import validate
    from ome_writers.views import StreamView, follow, wait_for
    from ome_writers.views import open as open  # noqa: A004 # the name that users expect next to create_stream
    from ome_writers_tools.conversion import Conversion, convert, edit
    from ome_writers_tools.mirroring import Upload, mirror
    from ome_writers_tools.processing import process
    from ome_writers_useq import (
        AcquisitionSettingsDict,
        dims_from_useq,
        useq_to_acquisition_settings,
    )

    __version__: str

__all__ = [
    "AcquisitionSettings",
    "AcquisitionSettingsDict",
    "ArraySpec",
    "Author",
    "AxisSpec",
    "Camera",
    "CameraNoise",
    "Channel",
    "Conversion",
    "CoordUpdate",
    "DatasetSpec",
    "DerivedStream",
    "Detector",
    "Dimension",
    "EndOfAcquisitionError",
    "EngineMissingError",
    "Experiment",
    "FrameBufferError",
    "FrameShapeError",
    "FrameTypeError",
    "ImageSpec",
    "Instrument",
    "InvalidFileError",
    "LevelSpec",
    "MetadataError",
    "Mirror",
    "MovedFileError",
    "OMEStream",
    "OMEWritersError",
    "Objective",
    "OmeTiffFormat",
    "OmeZarrFormat",
    "OutputExistsError",
    "OutputLockedError",
    "Plate",
    "Position",
    "PositionDimension",
    "Pyramid",
    "RestartError",
    "Schedule",
    "ScratchFormat",
    "SettingsError",
    "SettingsFields",
    "StandardAxis",
    "StreamClosedError",
    "StreamView",
    "UnclosedStreamWarning",
    "UnsupportedError",
    "Upload",
    "UploadError",
    "WriteError",
    "__version__",
    "add_labels",
    "add_pyramid",
    "convert",
    "convert_ngff_version",
    "create_stream",
    "dims_from_standard_axes",
    "dims_from_useq",
    "edit",
    "follow",
    "frame_table",
    "mirror",
    "process",
    "read",
    "read_frame_metadata",
    "repair",
    "resume",
    "useq_to_acquisition_settings",
    "validate",
    "wait_for",
]

# `open` is public too, but not in `__all__`: a star import must not replace the builtin.

_USEQ = ("AcquisitionSettingsDict", "dims_from_useq", "useq_to_acquisition_settings")
# Imported on first use: `import ome_writers` must be fast, and must not load engines, adapters or pydantic.
_MODULES = {
    "ome_writers.formats.omezarr": ("add_pyramid", "convert_ngff_version"),
    "ome_writers.dataset": ("ArraySpec", "AxisSpec", "DatasetSpec", "ImageSpec", "LevelSpec"),
    "ome_writers.formats": ("frame_table", "read", "read_frame_metadata"),
    "ome_writers.settings": (
        "AcquisitionSettings",
        "Author",
        "Camera",
        "CameraNoise",
        "Channel",
        "Detector",
        "Dimension",
        "Experiment",
        "Instrument",
        "Mirror",
        "Objective",
        "OmeTiffFormat",
        "OmeZarrFormat",
        "Plate",
        "Position",
        "PositionDimension",
        "Pyramid",
        "Schedule",
        "ScratchFormat",
        "SettingsFields",
        "StandardAxis",
        "dims_from_standard_axes",
    ),
    "ome_writers.streaming": (
        "CoordUpdate",
        "DerivedStream",
        "OMEStream",
        "add_labels",
        "create_stream",
        "resume",
    ),
    "ome_writers.validation": ("validate",),
    "ome_writers.views": ("StreamView", "follow", "open", "wait_for"),
    "ome_writers_tools.conversion": ("Conversion", "convert", "edit"),
    "ome_writers_tools.mirroring": ("Upload", "mirror"),
    "ome_writers_tools.processing": ("process",),
    "ome_writers_useq": _USEQ,
}
_TOOLS = [
    name
    for module, names in _MODULES.items()
    if module.startswith("ome_writers_tools.")
    for name in names
]
_exported = lazy_exports(__name__, _MODULES)[0]


def __dir__() -> list[str]:
    return sorted({*__all__, "open", *(name for name in globals() if name.startswith("__"))})


# `from ome_writers import *` must work without the extra, the adapter and the tools.
for _root, _names in (("useq", _USEQ), ("ome_writers_useq", _USEQ), ("ome_writers_tools", _TOOLS)):
    if importlib.util.find_spec(_root) is None:
        globals()["__all__"] = [name for name in __all__ if name not in _names]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("ome-writers")
        return globals()[name]
    if name == "repair":
        return importlib.import_module("ome_writers.repair")
    try:
        return _exported(name)
    except ModuleNotFoundError as error:
        if error.name in ("ome_writers_tools", "ome_writers_useq"):
            needed = f"the package {error.name}, which is not installed"
        elif name in _USEQ and error.name == "useq":
            needed = 'useq-schema: pip install "ome-writers[useq]"'
        else:
            raise
        raise ImportError(f"ome_writers.{name} needs {needed}") from error
