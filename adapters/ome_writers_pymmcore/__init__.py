"""Write acquisitions of pymmcore-plus: `MDAWriter` listens to its signals, `record` reads the camera's buffer.

The adapter translates metadata and indices. It opens no files and moves no devices itself, and imports only public
names of `ome_writers` and `ome_writers_useq`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from ome_writers_pymmcore.camera_buffer import BufferFrame, frames
    from ome_writers_pymmcore.frame_metadata import engine_metadata, tag_metadata
    from ome_writers_pymmcore.microscope import CameraDevice, Microscope
    from ome_writers_pymmcore.progress import Counts
    from ome_writers_pymmcore.recording import record
    from ome_writers_pymmcore.resuming import remaining_events
    from ome_writers_pymmcore.writer import MDAWriter
except ModuleNotFoundError as error:
    if error.name != "useq":  # useq-schema is a dependency of pymmcore-plus
        raise
    raise ModuleNotFoundError(
        'ome_writers_pymmcore needs pymmcore-plus: pip install "ome-writers[pymmcore]"',
        name=error.name,
    ) from error

if TYPE_CHECKING:
    from ome_writers_pymmcore.lending_core import LendingCore

__all__ = [
    "BufferFrame",
    "CameraDevice",
    "Counts",
    "LendingCore",
    "MDAWriter",
    "Microscope",
    "engine_metadata",
    "frames",
    "record",
    "remaining_events",
    "tag_metadata",
]


def __getattr__(name: str) -> Any:
    if name != "LendingCore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported lazily: its base class loads pymmcore-plus and Micro-Manager's core.
    from ome_writers_pymmcore.lending_core import LendingCore

    return LendingCore
