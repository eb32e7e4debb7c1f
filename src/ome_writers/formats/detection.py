"""Which format lies at a path; where none does, the error says what is there instead."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Literal

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.ometiff.first_page import read_ome_xml
from ome_writers.untrusted import MAX_IMAGES, check_count

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["abbreviated_list", "detect_format", "first_tiff", "ome_xml_files", "tiff_files"]

TIFF_SUFFIXES = (".tif", ".tiff")
_ZARR_2 = (".zattrs", ".zgroup", ".zarray")
_SHOWN = 3  # names in an error


def detect_format(path: Path) -> Literal["ome-zarr", "ome-tiff"]:
    """Return the format of a dataset, by what kind of file or folder it is; a file is taken for a TIFF.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    UnsupportedError
        If it is a folder of neither format.
    """
    if not path.exists():
        folder = path.with_name(re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE))
        if folder != path and folder.is_dir():
            raise FileNotFoundError(
                f"{path} does not exist, but the folder {folder} does: several positions are a folder of files."
            )
        raise FileNotFoundError(f"{path} does not exist.")
    if path.is_file():
        return "ome-tiff"
    if not path.is_dir():
        raise InvalidFileError(
            f"{path} is neither a file nor a folder, but a FIFO, a device or the like. Only regular files are opened."
        )
    if (path / "zarr.json").is_file():
        return "ome-zarr"
    if any((path / name).is_file() for name in _ZARR_2):
        raise UnsupportedError(
            f"{path} is a Zarr v2 store, as OME-Zarr 0.4 is one; only OME-Zarr 0.5 (Zarr v3) is read here."
        )
    if tiff_files(path):
        return "ome-tiff"
    inside = sorted(f.name for f in path.iterdir() if (f / "zarr.json").is_file())
    hint = f" In it are {abbreviated_list(inside)}: name one of them." if inside else ""
    raise UnsupportedError(f"{path} holds neither an OME-Zarr nor TIFF files.{hint}")


def ome_xml_files(folder: Path) -> list[Path]:
    """Return the files of a set that may hold its OME-XML: a companion first, then the TIFF files."""
    return [*_named(folder, (".companion.ome",)), *tiff_files(folder)]


def tiff_files(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder by name, without hidden ones (``._run.ome.tiff`` is macOS' own)."""
    return _named(folder, TIFF_SUFFIXES)


def _named(folder: Path, ends: tuple[str, ...]) -> list[Path]:
    files = (f for f in folder.iterdir() if f.name.lower().endswith(ends))
    return sorted(f for f in files if not f.name.startswith("."))


def first_tiff(path: Path) -> Path:
    """Return the file whose OME-XML is read: `path` itself, or the first file of the set in a folder.

    Raises
    ------
    UnsupportedError
        If the files of the folder are not one set.
    """
    if not path.is_dir():
        return path
    first, *others = tiff_files(path)
    check_count(len(others) + 1, f"{path}: the number of TIFF files", MAX_IMAGES)
    # asked twice: a writer may be replacing the text at this moment
    if _strangers(first, others, path) and (strangers := _strangers(first, others, path)):
        raise UnsupportedError(
            f"The TIFF files in {path} are not one set: {first.name} does not name {abbreviated_list(strangers)}. "
            f"Name the file that is meant."
        )
    return first


def _strangers(first: Path, others: list[Path], root: Path) -> list[str]:
    """Return the names of the files that the OME-XML of `first` does not name; one that points elsewhere names all."""
    text = read_ome_xml(first, root) if others else b""
    if not others or b"<BinaryOnly" in text[:4096]:
        return []
    said = re.findall(rb'FileName="([^"]*)"', text)
    named = {html.unescape(name.decode(errors="replace")) for name in set(said)}
    return [f.name for f in others if f.name not in named]


def abbreviated_list(names: list[str]) -> str:
    """Return the first few of some names, and the number of the others, for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
