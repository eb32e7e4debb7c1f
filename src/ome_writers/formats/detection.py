"""Format detection: which format is at a path, and which files of a folder belong to it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.registry import format_rows
from ome_writers.untrusted import MAX_IMAGES, check_count, is_archive

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "TIFF_SUFFIXES",
    "abbreviated_list",
    "detect_format",
    "first_tiff",
    "is_ometiff_set",
    "is_omezarr",
    "ome_xml_files",
    "tiff_files",
]

TIFF_SUFFIXES = (".tif", ".tiff")
_ZARR_2_FILES = (".zattrs", ".zgroup", ".zarray")
_MAX_LISTED_NAMES = 3


def detect_format(path: Path) -> str:
    """Return the name of the format of the dataset at `path`; a file that no format recognizes is taken for a TIFF.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If it is a folder that contains neither format; InvalidFileError if it is neither a file nor a folder.
    """
    if not path.exists():
        folder = path.with_name(re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE))
        if folder != path and folder.is_dir():
            raise FileNotFoundError(
                f"{path} does not exist, but the folder {folder} does: several positions are a folder of files."
            )
        raise FileNotFoundError(f"{path} does not exist.")
    if not path.is_file() and not path.is_dir():
        raise InvalidFileError(
            f"{path} is neither a file nor a folder, but a FIFO, a device or the like. Only regular files are opened."
        )
    for row in format_rows().values():
        if row.recognizes(path):
            return row.name
    if path.is_file():
        return "ome-tiff"
    datasets = sorted(f.name for f in path.iterdir() if (f / "zarr.json").is_file())
    hint = f" It contains {abbreviated_list(datasets)}: name one of them." if datasets else ""
    raise UnsupportedError(f"{path} contains neither an OME-Zarr nor TIFF files.{hint}")


def is_omezarr(path: Path) -> bool:
    if (path / "zarr.json").is_file() or is_archive(path):
        return True
    if any((path / name).is_file() for name in _ZARR_2_FILES):
        raise UnsupportedError(
            f"{path} is a Zarr v2 store (OME-Zarr 0.4 or older). Only OME-Zarr 0.5 and 0.6 (Zarr v3) can be read."
        )
    return False


def is_ometiff_set(path: Path) -> bool:
    return path.is_dir() and bool(tiff_files(path))


def ome_xml_files(folder: Path) -> list[Path]:
    """Return the files of a set that may contain its OME-XML: companion files first, then TIFF files."""
    return [*_files_ending_with(folder, (".companion.ome",)), *tiff_files(folder)]


def tiff_files(folder: Path) -> list[Path]:
    """Return the TIFF files in a folder, sorted by name, without hidden ones (macOS writes ``._run.ome.tiff``)."""
    return _files_ending_with(folder, TIFF_SUFFIXES)


def _files_ending_with(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    files = (f for f in folder.iterdir() if f.name.lower().endswith(suffixes))
    return sorted(f for f in files if not f.name.startswith("."))


def first_tiff(path: Path) -> Path:
    """Return the file to read OME-XML from: `path` itself, or the first file of the set in the folder `path`.

    Raises
    ------
    UnsupportedError
        If the TIFF files in the folder are not one set.
    """
    if not path.is_dir():
        return path
    first, *others = tiff_files(path)
    check_count(len(others) + 1, f"{path}: the number of TIFF files", MAX_IMAGES)
    # Check twice: a writer may be replacing the OME-XML at this moment.
    if _unlisted(first, others, path) and (unlisted := _unlisted(first, others, path)):
        raise UnsupportedError(
            f"The TIFF files in {path} are not one set: the OME-XML of {first.name} does not list "
            f"{abbreviated_list(unlisted)}. Pass the path of one file."
        )
    return first


def _unlisted(first: Path, others: list[Path], root: Path) -> list[str]:
    """Return the names that the OME-XML of `first` does not list; a BinaryOnly document counts as listing all."""
    from ome_writers.formats.ometiff.first_page import (
        read_ome_xml,
    )  # its package imports this module

    text = read_ome_xml(first, root) if others else b""
    if not others or b"<BinaryOnly" in text[:4096]:
        return []
    file_names = set(re.findall(rb'FileName="([^"]*)"', text))
    listed = {html.unescape(name.decode(errors="replace")) for name in file_names}
    return [f.name for f in others if f.name not in listed]


def abbreviated_list(names: list[str]) -> str:
    """Return the first names and the number of the others, for a message."""
    more = f" and {len(names) - _MAX_LISTED_NAMES} more" if len(names) > _MAX_LISTED_NAMES else ""
    return ", ".join(names[:_MAX_LISTED_NAMES]) + more
