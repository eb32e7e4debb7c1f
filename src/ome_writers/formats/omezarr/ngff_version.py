"""`convert_ngff_version`: rewrite the metadata of an OME-Zarr in another version of the specification, in place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError, checked_call
from ome_writers.formats.in_place import edit_in_place
from ome_writers.formats.omezarr.node_metadata import check_expressible_in_05
from ome_writers.formats.omezarr.stored_groups import StoredGroups, open_metadata
from ome_writers.formats.omezarr.versions import VERSIONS, at_version, scene
from ome_writers.formats.registry import format_row
from ome_writers.untrusted import guard_reader, read_json


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
        with guard_reader(spec.path), open_metadata(spec.path) as groups:
            for key in map(groups.key, _groups(spec.path)):
                _convert(groups, key, version)
            _convert_root(groups, spec, version)
        return groups.changed_files


def _convert(groups: StoredGroups, key: str, version: str) -> None:
    attributes = groups.attributes(key)
    ome = attributes.get("ome")
    if isinstance(ome, dict):
        if version == "0.5":
            check_expressible_in_05(ome, groups.file(key))
        attributes["ome"] = at_version(ome, version)
    own = attributes.get("ome_writers")  # of the dataset, and of its derived images
    settings = own.get("settings") if isinstance(own, dict) else None
    format = settings.get("format") if isinstance(settings, dict) else None
    if isinstance(format, dict):
        format["version"] = version


def _convert_root(groups: StoredGroups, spec: DatasetSpec, version: str) -> None:
    """Add the scene of a collection."""
    ome = groups.attributes()["ome"]
    if version == "0.6" and spec.layout == "collection" and "scene" not in ome:
        positions = [image.position for image in spec.images]
        converted = {image.key: groups.attributes(image.key) for image in spec.images}
        ome.update(scene(positions, [*converted], converted))


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
