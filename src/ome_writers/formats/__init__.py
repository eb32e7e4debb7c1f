"""What the files say. This room never touches a pixel and never decides where one goes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ome_writers.formats.dataset_metadata import (
    RESERVED_NAMESPACES,
    DatasetMetadata,
    Layout,
    Outcome,
    Patch,
    Status,
    SupportsCarryOver,
    SupportsGrow,
)
from ome_writers.formats.frame_metadata import Journal
from ome_writers.formats.frame_metadata_reader import read_frame_metadata

if TYPE_CHECKING:
    from types import ModuleType

    from ome_writers.routing import Plan

__all__ = [
    "RESERVED_NAMESPACES",
    "DatasetMetadata",
    "Journal",
    "Layout",
    "Outcome",
    "Patch",
    "Status",
    "SupportsCarryOver",
    "SupportsGrow",
    "create_metadata",
    "lay_out",
    "read_frame_metadata",
]


_MODULES = {
    "ome-zarr": ("omezarr.layout", "omezarr.metadata", "ZarrMetadata"),
    "ome-tiff": ("ometiff.layout", "ometiff.metadata", "TiffMetadata"),
    "scratch": ("scratch", "scratch", "ScratchMetadata"),
}
"""By format: the module with ``lay_out(plan)``, and the module and name of its `DatasetMetadata`."""


def lay_out(plan: Plan) -> Layout:
    """Return where the arrays, documents and journals of `plan` will lie."""
    name, _, _ = _MODULES[plan.settings.format.name]
    layout: Layout = _module(name).lay_out(plan)
    return layout


def create_metadata(plan: Plan, layout: Layout) -> DatasetMetadata:
    """Return the documents of a new dataset, all of them waiting to be rendered."""
    _, name, kind = _MODULES[plan.settings.format.name]
    documents: DatasetMetadata = getattr(_module(name), kind)(plan, layout)
    return documents


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
