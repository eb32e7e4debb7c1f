"""What the documents of an OME-Zarr say of it: where its images are, and the plan by which it was written."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.routing import resolve
from ome_writers.settings import AcquisitionSettings

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.routing import Plan

__all__ = ["group_attributes", "image_groups", "read_document", "stored_plan", "well_fields"]

_MOST_BYTES = 64 * 2**20  # a document larger than this is nobody's root document


def image_groups(root: Path) -> list[str]:
    """Return the paths of all image groups below `root`, in the dataset's own order; ``""`` is `root` itself.

    Raises
    ------
    UnsupportedError
        If the documents are not those of an OME-Zarr 0.5, or name a place outside `root`.
    """
    ome = _ome(root)
    if "multiscales" in ome:
        return [""]
    try:
        if "plate" in ome:
            wells = [_checked(root, well["path"]) for well in ome["plate"]["wells"]]
            return [field for well in wells for field in well_fields(root, well)]
        if "bioformats2raw.layout" in ome:
            return [_checked(root, path) for path in _ome(root / "OME")["series"]]
    except (KeyError, TypeError) as error:
        raise UnsupportedError(f"{root} is no valid OME-Zarr 0.5: {error} is missing.") from error
    raise UnsupportedError(f"{root} is no OME-Zarr 0.5: it says neither an image nor a collection.")


def well_fields(root: Path, well: str) -> list[str]:
    """Return the paths of the images that the document of a well lists.

    Raises
    ------
    KeyError, TypeError
        If the document is missing or is not that of a well.
    UnsupportedError
        If a path is outside `root`.
    """
    images = _ome(root / well)["well"]["images"]
    return [_checked(root, f"{well}/{image['path']}") for image in images]


def read_document(path: Path) -> dict[str, Any]:
    """Return a JSON document; empty when it is not there, is no object, or is too large to be one of ours."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def group_attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of a group; empty where it has none, or no document."""
    attributes = read_document(group / "zarr.json").get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def stored_plan(settings: Any) -> Plan:
    """Return the plan of the settings that a root document holds (``ome_writers.settings``).

    Raises
    ------
    UnsupportedError
        If another version wrote them, in words that are unknown here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were said when the dataset was written
            return resolve(AcquisitionSettings.model_validate(settings))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UnsupportedError(str(error)) from error


def _ome(group: Path) -> dict[str, Any]:
    ome = group_attributes(group).get("ome", {})
    return ome if isinstance(ome, dict) else {}


def _checked(root: Path, key: str) -> str:
    """Return `key`; refuse one that leads out of `root`, by its words or over a symbolic link."""
    folder = root
    for word in key.split("/"):
        folder = folder / word
        if word in ("", ".", "..") or "\\" in word or folder.is_symlink():
            raise UnsupportedError(f"{root} names the group {key!r}, which does not lie inside it.")
    return key
