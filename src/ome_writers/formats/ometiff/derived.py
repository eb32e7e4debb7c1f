"""Images that are derived from that of an OME-TIFF: an OME-TIFF of their own beside it.

OME-XML does not have label images, and Bio-Formats and tifffile read a file of its own without the other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.derivation import Derivation
from ome_writers.formats.ometiff.layout import lay_out
from ome_writers.formats.ometiff.metadata import TiffMetadata
from ome_writers.formats.ometiff.parse import parse
from ome_writers.routing import Plan
from ome_writers.settings import split_suffix

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import AddedMetadata
    from ome_writers.formats.resumption import ReopenDerived

_KEY = "derived_image"
"""Namespace of the global metadata that name the source of a derived OME-TIFF."""
_MAX_FILES = 100  # whose metadata is read to find the derived images of another


def derived_images(
    plan: Plan,
    images: Sequence[str],
    layout: Layout,
    derivation: Derivation,
    reopen: ReopenDerived | None = None,
) -> tuple[Plan, Layout, AddedMetadata]:
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
    stored = None if reopen is None else reopen(path, settings)
    if stored is not None:
        derivation.check_continues(stored.find_metadata(_KEY), path)
        return plan, own, stored
    metadata = TiffMetadata(plan, own)
    described = {**derivation.attributes, "source": layout.output.name}
    metadata.set_global_metadata(_KEY, described)
    return plan, own, metadata


def stored_derived_images(spec: DatasetSpec, image: str) -> dict[str, dict[str, Any]]:
    """Return the provenance of the derived images beside an OME-TIFF of one image, by kind and name."""
    del image
    path, found = spec.path, dict[str, dict[str, Any]]()
    if not path.is_file():
        return found
    stem, suffix = split_suffix(path.name)
    names = [name for name in os.listdir(path.parent) if name.startswith(f"{stem}_")]
    for name in sorted(n for n in names if n.endswith(suffix))[:_MAX_FILES]:
        with suppress(UnsupportedError, OSError):
            derived = parse(Path(path.parent, name)).metadata.get(_KEY, {})
            if derived.get("source") == path.name:
                key = name.removeprefix(f"{stem}_").removesuffix(suffix)
                found.setdefault(str(derived.get("kind")), {})[key] = derived
    return found
