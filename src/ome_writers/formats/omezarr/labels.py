"""Label images of an OME-Zarr: names and attributes.

Source: https://ngff.openmicroscopy.org/0.5/#labels-metadata
"""

from __future__ import annotations

from typing import Any

from ome_writers.dataset import DatasetSpec
from ome_writers.formats.omezarr.node_metadata import group_attributes

Json = dict[str, Any]


def labels(spec: DatasetSpec, group: str) -> dict[str, Json]:
    """Return the attributes of the label images of an image, by name; those of 0.4 as 0.5 has them."""
    folder = "/".join(filter(None, (group, "labels")))
    names = group_attributes(spec.path / folder, spec.path).get("ome", {}).get("labels")
    names = names if isinstance(names, list) else []
    return {str(name): _attributes(spec, f"{folder}/{name}") for name in names}


def _attributes(spec: DatasetSpec, group: str) -> Json:
    attributes = group_attributes(spec.path / group, spec.path)
    ome = attributes.get("ome")
    found = {**ome} if isinstance(ome, dict) else {}
    look = attributes.pop("image-label", found.get("image-label"))
    for multiscale in found.get("multiscales", ()):
        if isinstance(multiscale, dict):
            multiscale.pop("version", None)  # 0.5 has it only beside them
    return {
        **attributes,
        "ome": {**found, **({"image-label": look} if isinstance(look, dict) else {})},
    }
