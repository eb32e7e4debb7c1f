"""What the documents of an OME-Zarr say of it: where its images are, and the plan by which it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.stored_settings import plan_from_settings
from ome_writers.untrusted import (
    Limit,
    check_distinct,
    member,
    parse_json,
    read_regular,
)

if TYPE_CHECKING:
    from pathlib import Path


__all__ = [
    "group_attributes",
    "image_groups",
    "layout_and_groups",
    "ome_writers_attributes",
    "plan_from_settings",
    "read_json_object",
    "well_fields",
]


def image_groups(root: Path) -> list[str]:
    """Return the paths of all image groups below `root`, in the dataset's own order; ``""`` is `root` itself.

    Raises
    ------
    UnsupportedError
        If the documents are not those of an OME-Zarr 0.5, or name a place outside `root`.
    """
    return layout_and_groups(root)[1]


def layout_and_groups(root: Path) -> tuple[Literal["image", "plate", "collection"], list[str]]:
    """Return the layout of an OME-Zarr, and its image groups as `image_groups` does."""
    ome = _ome(root, root)
    if "multiscales" in ome:
        return "image", [""]
    try:
        if "plate" in ome:
            wells = [well["path"] for well in ome["plate"]["wells"]]
            check_distinct(wells, f"{root}: the list of wells")
            return "plate", _checked(root, [path for w in wells for path in well_fields(root, w)])
        if "bioformats2raw.layout" in ome:
            return "collection", _checked(root, _ome(root / "OME", root)["series"])
    except KeyError as error:
        raise InvalidFileError(f"{root} is no valid OME-Zarr 0.5: {error} is missing.") from error
    except (TypeError, AttributeError) as error:
        raise InvalidFileError(f"{root} is no valid OME-Zarr 0.5: {error}.") from error
    raise UnsupportedError(f"{root} is no OME-Zarr 0.5: it says neither an image nor a collection.")


def well_fields(root: Path, well: str) -> list[str]:
    """Return the paths of the images that the document of a well lists.

    Raises
    ------
    KeyError, TypeError
        If the document is missing or is not that of a well.
    InvalidFileError
        If a path is outside `root`.
    """
    images = _ome(member(root, well), root)["well"]["images"]
    return _checked(root, [f"{well}/{image['path']}" for image in images])


def read_json_object(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Return a JSON document; empty when it is not there, or is not a JSON object.

    Raises
    ------
    InvalidFileError
        If it is not a regular file inside `root`, or larger or nested deeper than any document.
    """
    try:
        document = parse_json(read_regular(path, Limit.JSON, root=root), path)
    except InvalidFileError:
        raise
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def group_attributes(group: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the attributes of a group; empty where it has none, or no document; see `read_document`."""
    attributes = read_json_object(group / "zarr.json", root or group).get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def ome_writers_attributes(group: Path, root: Path | None = None) -> dict[str, Any]:
    """Return what this library wrote about a dataset, or an image in it; empty where that is nothing."""
    ours = group_attributes(group, root).get("ome_writers")
    return ours if isinstance(ours, dict) else {}


def _ome(group: Path, root: Path) -> dict[str, Any]:
    ome = group_attributes(group, root).get("ome", {})
    return ome if isinstance(ome, dict) else {}


def _checked(root: Path, groups: Any) -> list[str]:
    """Return the paths of image groups; refuse those that lead out of `root`, and too many."""
    if not isinstance(groups, list):
        raise InvalidFileError(f"{root}: its list of images is a {type(groups).__name__}.")
    check_distinct(groups, f"{root}: the list of images")
    for group in groups:
        member(root, group)
    return groups
