"""Images that are derived from that of an OME-TIFF: an OME-TIFF of their own beside it.

OME-XML does not have label images, and Bio-Formats and tifffile read a file of its own without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.derivation import Derivation
from ome_writers.formats.ometiff.layout import lay_out
from ome_writers.formats.ometiff.metadata import TiffMetadata
from ome_writers.routing import Plan
from ome_writers.settings import split_suffix


def derived_images(
    plan: Plan, images: Sequence[str], layout: Layout, derivation: Derivation
) -> tuple[Plan, Layout, TiffMetadata]:
    """Return plan, layout and metadata of a derived image; raises UnsupportedError for a set of files."""
    if layout.root == layout.output or len(images) > 1:
        raise UnsupportedError(
            f"{layout.output}: derived images of an OME-TIFF with several images are not written, because readers "
            f"would take their files for images of the set. Write an OME-Zarr, or a dataset per position."
        )
    stem, suffix = split_suffix(layout.output.name)
    path = layout.output.with_name(f"{stem}_{derivation.name}{suffix}")
    format_ = plan.settings.format.model_copy(update={"suffix": ""})
    settings = plan.settings.model_copy(update={"root_path": str(path), "format": format_})
    plan, own = lay_out(replace(plan, settings=settings))
    metadata = TiffMetadata(plan, own)
    described = {"kind": derivation.kind, "source": layout.output.name, **derivation.provenance}
    metadata.set_global_metadata("derived_image", described)
    return plan, own, metadata
