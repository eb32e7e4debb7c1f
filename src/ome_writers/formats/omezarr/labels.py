"""Labels and other derived images of an OME-Zarr: names and attributes.

Source: https://ngff.openmicroscopy.org/0.5/#labels-metadata
"""

from __future__ import annotations

from typing import Any

from ome_writers.dataset import DatasetSpec
from ome_writers.formats.omezarr.layout import join_key
from ome_writers.formats.omezarr.node_metadata import group_attributes

Json = dict[str, Any]


FOLDERS = {"labels": "labels", "image": "derived"}
"""Group of derived images below that of their image, by kind."""
_LISTS = {"labels": ("ome", "labels"), "image": ("ome_writers", "derived")}


def stored_derived_images(spec: DatasetSpec, image: str) -> dict[str, dict[str, Json]]:
    """Return the attributes of the derived images of an image, by kind and name; those of 0.4 as 0.5 has them."""
    found = {}
    for kind, folder in FOLDERS.items():
        group = join_key(image, folder)
        names = names_in(group_attributes(spec.path / group, spec.path), kind)
        found[kind] = {name: _attributes(spec, f"{group}/{name}") for name in names}
    return found


def names_in(attributes: Json, kind: str) -> list[str]:
    """Return the names that the attributes of a group of derived images list."""
    namespace, key = _LISTS[kind]
    listed = attributes.get(namespace)
    names = listed.get(key) if isinstance(listed, dict) else None
    found = names if isinstance(names, list) else []
    return [n for n in found if isinstance(n, str) and n.strip(".") and "/" not in n]


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
