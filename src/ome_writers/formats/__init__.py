"""What the files say. This room never touches a pixel and never decides where one goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.formats.documents import Documents, Layout, Outcome, Status
from ome_writers.formats.frame_metadata import Journal

if TYPE_CHECKING:
    from ome_writers.routing import Plan

__all__ = ["Documents", "Journal", "Layout", "Outcome", "Status", "lay_out", "open_documents"]


def lay_out(plan: Plan) -> Layout:
    """Return where the arrays, documents and journals of `plan` will lie."""
    name = plan.settings.format.name
    if name == "ome-zarr":
        from ome_writers.formats.zarr_layout import lay_out
    elif name == "ome-tiff":
        from ome_writers.formats.ometiff import lay_out
    else:
        from ome_writers.formats.scratch import lay_out
    return lay_out(plan)


def open_documents(plan: Plan, layout: Layout) -> Documents:
    """Return the documents of a new dataset, all of them waiting to be rendered."""
    name = plan.settings.format.name
    if name == "ome-zarr":
        from ome_writers.formats.omezarr import ZarrDocuments

        return ZarrDocuments(plan, layout)
    if name == "ome-tiff":
        from ome_writers.formats.ometiff import TiffDocuments

        return TiffDocuments(plan, layout)
    from ome_writers.formats.scratch import ScratchDocuments

    return ScratchDocuments(plan, layout)
