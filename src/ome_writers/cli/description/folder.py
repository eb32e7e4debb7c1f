"""Listing of the datasets in a directory that is not a dataset itself."""

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

_FILE_NAME = re.compile(rb'(?:FileName|MetadataFile)="([^"]*)"')
_OME_XML = re.compile(rb"<(?:\w+:)?OME\b")
_OME_TIFF = re.compile(r"\.ome\.tiff?$", re.IGNORECASE)
_ZARR_2 = (".zgroup", ".zarray", ".zattrs")


@dataclass(frozen=True)
class FolderContent:
    """The direct content of a directory.

    Attributes
    ----------
    datasets
        OME-Zarr of any version, OME-TIFF files and directories with a set of OME-TIFF files, sorted by name.
    folders
        Directories that are not datasets, but contain some.
    others
        TIFF files without OME-XML.
    """

    datasets: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: tuple[Path, ...]


def list_datasets(folder: Path) -> FolderContent | None:
    """Return the content of a directory of datasets.

    None if `folder` is not a directory, is a dataset itself (an OME-Zarr, or one set of OME-TIFF files), or does not
    contain any.
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
        except OSError:  # listed: describing it reports the error
            datasets.append(path)
    files, others = _tiff_datasets(folder)
    if not datasets and not folders and len(files) <= 1:
        return None
    return FolderContent(tuple(sorted((*datasets, *files))), tuple(folders), tuple(others))


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", *_ZARR_2))


def _is_set(folder: Path) -> bool:
    """Whether the TIFF files of a directory form one dataset, without others beside it."""
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
    """Return one file per OME-TIFF dataset, and the TIFF files without OME-XML."""
    datasets: list[Path] = []
    others: list[Path] = []
    members: set[str] = set()
    for file in tiff_files(folder):
        if file.name in members or not file.is_file() or resolve_entry_file(file) != file:
            continue
        names = _members(file)
        if names is None and not _OME_TIFF.search(file.name):
            others.append(file)
        else:  # a damaged file too: describing it reports the error
            datasets.append(file)
            members |= names or set()
    return datasets, others


def _members(file: Path) -> set[str] | None:
    """Return the file names in the OME-XML of a TIFF file and of its companion; None without OME-XML."""
    try:
        text = read_ome_xml(file)
        names = _file_names(text)
        for name in tuple(names):
            companion = file.parent / name
            if name.lower().endswith(".ome") and companion.is_file():
                names |= _file_names(read_ome_xml(companion))
    except (UnsupportedError, OSError):
        return None
    return names if _OME_XML.search(text) else None


def _file_names(text: bytes) -> set[str]:
    return {html.unescape(name.decode(errors="replace")) for name in _FILE_NAME.findall(text)}
