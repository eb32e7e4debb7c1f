"""Translates what a microscope under pymmcore-plus delivers; never opens a file, never moves a stage.

It imports the public names of `ome_writers` and `ome_writers_useq` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from ome_writers_pymmcore.camera_buffer import BufferFrame, frames
    from ome_writers_pymmcore.frame_counts import Counts
    from ome_writers_pymmcore.frame_metadata import engine_facts, tag_facts
    from ome_writers_pymmcore.microscope import Camera, Microscope, Objective
    from ome_writers_pymmcore.recording import record
    from ome_writers_pymmcore.writer import MDAWriter
except ModuleNotFoundError as error:
    if error.name != "useq":  # which pymmcore-plus brings
        raise
    raise ModuleNotFoundError(
        "ome_writers_pymmcore needs pymmcore-plus: pip install 'ome-writers[pymmcore]'",
        name=error.name,
    ) from error

if TYPE_CHECKING:
    from ome_writers_pymmcore.lending_core import LendingCore

__all__ = [
    "BufferFrame",
    "Camera",
    "Counts",
    "LendingCore",
    "MDAWriter",
    "Microscope",
    "Objective",
    "engine_facts",
    "frames",
    "record",
    "tag_facts",
]


def __getattr__(name: str) -> Any:
    # The one name whose definition needs pymmcore-plus itself, and with it the whole of Micro-Manager's core.
    if name != "LendingCore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ome_writers_pymmcore.lending_core import LendingCore

    return LendingCore
