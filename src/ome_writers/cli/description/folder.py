"""The datasets in a folder that is not a dataset itself."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats import first_tiff, resolve_entry_file, tiff_files
from ome_writers.formats.ometiff import read_ome_xml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FolderContent", "list_datasets"]

_FILE_NAME = re.compile(rb'(?:FileName|MetadataFile)="([^"]*)"')
_OME_XML = re.compile(rb"<(?:\w+:)?OME\b")
_OME_TIFF = re.compile(r"\.ome\.tiff?$", re.IGNORECASE)
_ZARR_2 = (".zgroup", ".zarray", ".zattrs")


@dataclass(frozen=True)
class FolderContent:
    """What is directly in a folder.

    Attributes
    ----------
    datasets
        Each OME-Zarr (also one of version 0.4), OME-TIFF file and folder with a set of OME-TIFF files, by name.
    folders
        Folders that are not datasets, but contain some.
    others
        TIFF files without OME-XML.
    """

    datasets: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: tuple[Path, ...]


def list_datasets(folder: Path) -> FolderContent | None:
    """Return what is in a folder of datasets.

    None if `folder` is not a directory, is a dataset itself (an OME-Zarr, or one OME-TIFF and its set), or holds
    nothing that is one.
    """
    if not folder.is_dir() or _is_zarr(folder):
        return None
    datasets, folders = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            if _is_zarr(path) or _is_set(path):
                datasets.append(path)
            elif _has_datasets(path):
                folders.append(path)
        except OSError:  # whoever reads it as a dataset reports the error
            datasets.append(path)
    files, others = _tiff_datasets(folder)
    if not datasets and not folders and len(files) <= 1:
        return None
    return FolderContent(tuple(sorted((*datasets, *files))), tuple(folders), tuple(others))


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", *_ZARR_2))


def _is_set(folder: Path) -> bool:
    """Whether all TIFF files of a folder belong to one dataset, and nothing else in it is one."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    files = tiff_files(folder)
    if not files or any(map(_is_zarr, folders)):
        return False
    if folders and any(resolve_entry_file(file) != file for file in files):
        return False
    try:
        first_tiff(folder)
    except UnsupportedError:
        return False
    return True


def _has_datasets(folder: Path) -> bool:
    return bool(tiff_files(folder)) or any(p.is_dir() and _is_zarr(p) for p in folder.iterdir())


def _tiff_datasets(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return one file of each OME-TIFF in a folder, and the TIFF files without OME-XML."""
    datasets: list[Path] = []
    others: list[Path] = []
    members: set[str] = set()
    for file in tiff_files(folder):
        if file.name in members or not file.is_file() or resolve_entry_file(file) != file:
            continue
        named = _members(file)
        if named is None and not _OME_TIFF.search(file.name):
            others.append(file)
        else:  # whoever reads it reports why it is not an OME-TIFF
            datasets.append(file)
            members |= named or set()
    return datasets, others


def _members(file: Path) -> set[str] | None:
    """Return the names of the files that the OME-XML of a TIFF file names; None if it has no OME-XML."""
    try:
        text = read_ome_xml(file)
        named = _named(text)
        for name in tuple(named):
            companion = file.parent / name
            if name.lower().endswith(".ome") and companion.is_file():
                named |= _named(read_ome_xml(companion))
    except (UnsupportedError, OSError):
        return None
    return named if _OME_XML.search(text) else None


def _named(text: bytes) -> set[str]:
    """Return the names of files in OME-XML."""
    return {html.unescape(name.decode(errors="replace")) for name in _FILE_NAME.findall(text)}
