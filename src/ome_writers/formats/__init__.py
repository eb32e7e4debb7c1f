"""What the files say. This room never touches a pixel and never decides where one goes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ome_writers.formats.documents import Documents, Layout, Outcome, Status
from ome_writers.formats.frame_metadata import Journal
from ome_writers.formats.reading import read_frame_metadata

if TYPE_CHECKING:
    from ome_writers.routing import Plan

__all__ = [
    "Documents",
    "Journal",
    "Layout",
    "Outcome",
    "Status",
    "lay_out",
    "open_documents",
    "read_frame_metadata",
]


_ROOMS = {
    "ome-zarr": ("ome_writers.formats.zarr_layout", "ome_writers.formats.omezarr", "ZarrDocuments"),
    "ome-tiff": ("ome_writers.formats.tiff_layout", "ome_writers.formats.ometiff", "TiffDocuments"),
    "scratch": ("ome_writers.formats.scratch", "ome_writers.formats.scratch", "ScratchDocuments"),
}
"""By format: the module with ``lay_out(plan)``, and the module and name of its `Documents`."""


def lay_out(plan: Plan) -> Layout:
    """Return where the arrays, documents and journals of `plan` will lie."""
    module = importlib.import_module(_ROOMS[plan.settings.format.name][0])
    layout: Layout = module.lay_out(plan)
    return layout


def open_documents(plan: Plan, layout: Layout) -> Documents:
    """Return the documents of a new dataset, all of them waiting to be rendered."""
    _, module, name = _ROOMS[plan.settings.format.name]
    documents: Documents = getattr(importlib.import_module(module), name)(plan, layout)
    return documents
