"""`convert_ngff_version`: rewrite the metadata of an OME-Zarr in another version of the specification, in place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError, checked_call
from ome_writers.formats.in_place import edit_in_place, replace_json, stored_settings
from ome_writers.formats.omezarr.versions import VERSIONS, at_version, scene
from ome_writers.formats.registry import format_row
from ome_writers.untrusted import guard_reader, read_json

Json = dict[str, Any]


@checked_call
def convert_ngff_version(path: str | PathLike[str], version: str) -> list[Path]:
    """Rewrite the metadata of an OME-Zarr as OME-Zarr 0.5 or 0.6, in place; pixels are not touched.

    Each ``zarr.json`` is replaced atomically, the one of the root last. If the conversion is interrupted, repeat it.

    Parameters
    ----------
    path
        An OME-Zarr of any program.
    version
        ``"0.5"`` or ``"0.6"``.

    Returns
    -------
    list of Path
        The files that were replaced; empty if the dataset is of this version already.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    OutputLockedError
        If a running process is writing the dataset.
    UnsupportedError
        If it is not an OME-Zarr 0.5 or 0.6, its writer was killed, or 0.5 cannot express its coordinate systems.
        Nothing is changed.
    """
    if version not in VERSIONS:
        raise UnsupportedError(f"OME-Zarr {version}: supported are {' and '.join(VERSIONS)}.")
    with edit_in_place(path) as spec:
        if version not in format_row(spec.format).ngff_versions:
            raise UnsupportedError(
                f"{path} is an {format_row(spec.format).title} {spec.version}; the version of an OME-Zarr "
                f"{' or '.join(VERSIONS)} is changed in place. Convert it to a new dataset."
            )
        with guard_reader(spec.path):
            for _ in _changed_groups(spec, version):
                pass  # raises before anything is changed
            return [replace_json(file, group) for file, group in _changed_groups(spec, version)]


def _changed_groups(spec: DatasetSpec, version: str) -> Iterator[tuple[Path, Json]]:
    """Yield the file and the new content of each group that changes, children before their parents."""
    converted: dict[str, Json] = {}
    for folder in _groups(spec.path):
        file = folder / "zarr.json"
        group = read_json(file, root=spec.path)
        attributes = group.get("attributes")
        ome = attributes.get("ome") if isinstance(attributes, dict) else None
        if not isinstance(attributes, dict) or not isinstance(ome, dict):
            continue
        before = json.dumps(group)
        key = folder.relative_to(spec.path).as_posix()
        if version == "0.5":
            check_expressible_in_05(ome, file)
        attributes["ome"] = at_version(ome, version)
        if key in {image.key for image in spec.images}:
            converted[key] = {"ome": attributes["ome"]}
        if folder == spec.path:
            _convert_root(attributes, spec, version, converted)
        if json.dumps(group) != before:
            yield file, group


def _convert_root(
    attributes: Json, spec: DatasetSpec, version: str, converted: dict[str, Json]
) -> None:
    """Add the scene of a collection, and the version in the stored settings."""
    if version == "0.6" and spec.layout == "collection" and "scene" not in attributes["ome"]:
        positions = [image.position for image in spec.images]
        attributes["ome"].update(scene(positions, [i.key for i in spec.images], converted))
    format = stored_settings(attributes.get("ome_writers")).get("format")
    if isinstance(format, dict):
        format["version"] = version


def check_expressible_in_05(ome: Json, file: Path) -> None:
    """Raise UnsupportedError if 0.5 cannot express the coordinate systems of a group."""
    own_scene = ome.get("scene")
    steps = own_scene.get("coordinateTransformations", []) if isinstance(own_scene, dict) else []
    found = [step.get("type") for step in steps if step.get("type") != "identity"]
    for multiscale in ome.get("multiscales", []):
        if "coordinateSystems" not in multiscale:
            continue
        if len(multiscale["coordinateSystems"]) > 1:
            found.append(f"{len(multiscale['coordinateSystems'])} coordinate systems")
        found += [step.get("type") for step in multiscale.get("coordinateTransformations") or ()]
    if found:
        raise UnsupportedError(
            f"{file}: OME-Zarr 0.5 cannot express its coordinate transformations ({', '.join(map(str, found))}). "
            f"Keep the dataset at 0.6, or copy the pixels with `ome-writers convert`."
        )


def _groups(folder: Path) -> Iterator[Path]:
    """Yield the groups below a directory, children before parents; links are not followed."""
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    for name in names:
        if not _is_array(folder / name):
            yield from _groups(folder / name)
    if (folder / "zarr.json").is_file():
        yield folder


def _is_array(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        return read_json(folder / "zarr.json").get("node_type") == "array"
    return False
