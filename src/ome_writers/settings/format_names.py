"""Names and suffixes of formats, and inference of the format from a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ome_writers.settings.engines import ENGINES, find_engine
from ome_writers.settings.model import warn_user
from ome_writers.settings.paths import foreign_ending

__all__ = ["FORMAT_NAMES", "SUFFIXES", "inferred_format", "read_format", "split_suffix"]

SUFFIXES = {
    ".ome.zarr": "ome-zarr",
    ".zarr": "ome-zarr",
    ".ome.tiff": "ome-tiff",
    ".ome.tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".tif": "ome-tiff",
}
"""File name suffix to format name."""

FORMAT_NAMES: dict[str, dict[str, str]] = {
    "ome-zarr": {"name": "ome-zarr"},
    "zarr": {"name": "ome-zarr"},
    "ome-tiff": {"name": "ome-tiff"},
    "tiff": {"name": "ome-tiff"},
    "scratch": {"name": "scratch"},
    "memory": {"name": "scratch"},
    **{
        row.name: {"name": row.format, "backend": row.name}
        for row in ENGINES.values()
        if row.name != row.format
    },
}
"""The strings that are accepted as a format; names of third-party engines are accepted too."""


def split_suffix(path: str, also: str = "") -> tuple[str, str]:
    """Split a path into stem and format suffix.

    `also` is recognized in addition to `SUFFIXES`. A path whose name is only a suffix does not have one.
    """
    path = path.rstrip(os.sep + "/")
    for suffix in sorted({also, *SUFFIXES} - {""}, key=len, reverse=True):
        if path.lower().endswith(suffix.lower()):
            stem = path[: -len(suffix)]
            return (stem, path[len(stem) :]) if os.path.basename(stem) else (path, "")
    return path, ""


def inferred_format(root_path: str) -> tuple[dict[str, str], bool]:
    """Return the fields of the format that a path implies, and whether the path is conclusive.

    The result does not depend on installed libraries.
    """
    if not root_path:
        return {"name": "scratch"}, True
    suffix = split_suffix(root_path)[1].lower() or os.path.basename(root_path).lower()
    if suffix in SUFFIXES:
        return {"name": SUFFIXES[suffix], "suffix": suffix}, True
    return {"name": "ome-zarr"}, False


def read_format(value: Any, root_path: str) -> Any:
    """Convert a format, a name or a mapping to the input of a format model.

    Raises
    ------
    ValueError
        A string is not the name of a format or backend, the path is an ``.ozx`` file, or the format is inferred
        from a path with the suffix of an unsupported format.
    """
    if root_path.lower().endswith(".ozx"):
        stem = root_path[: -len(".ozx")]
        raise ValueError(
            f"root_path {root_path!r}: frames cannot be streamed to an .ozx file. The directory of a ZIP file is at "
            f"its end, so a crash would leave nothing readable. Write {stem + '.ome.zarr'!r}, and pack it after "
            f"close(): `ome-writers convert {stem}.ome.zarr {root_path}`."
        )
    if isinstance(value, str):
        if value == "auto":
            fields, known = inferred_format(root_path)
            if not known and (ending := foreign_ending(root_path)):
                raise ValueError(
                    f"root_path {root_path!r} ends in {ending!r}, a format that ome-writers does not write. Use "
                    f".ome.zarr or .ome.tiff, or set format='ome-zarr' to keep the name."
                )
            if not known:
                warn_user(
                    f"Output format could not be inferred from root_path {root_path!r}: writing OME-Zarr. "
                    f"Set format='ome-zarr', or use one of the suffixes {', '.join(SUFFIXES)}."
                )
            return fields
        value = _fields_of(value)
    elif isinstance(value, Mapping):
        value = dict(value)
        if "name" in value or "backend" in value:
            value = _fields_of(value.get("name", value.get("backend"))) | value
            value["name"] = _fields_of(value["name"])["name"]
    else:
        return value
    suffix = split_suffix(root_path)[1].lower()
    if "suffix" not in value and suffix and SUFFIXES[suffix] == value.get("name"):
        value["suffix"] = suffix
    return value


def _fields_of(name: Any) -> dict[str, str]:
    fields = FORMAT_NAMES.get(name) if isinstance(name, str) else None
    if fields is None and isinstance(name, str) and (row := find_engine(name)) is not None:
        fields = {"name": row.format, "backend": row.name}
    if fields is None:
        raise ValueError(
            f"Unknown format {name!r}. Use 'auto' or one of: {', '.join(FORMAT_NAMES)}."
        )
    return dict(fields)
