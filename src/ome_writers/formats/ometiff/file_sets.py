"""Which TIFF files of a folder form a dataset, and which of them contain its OME-XML."""

from __future__ import annotations

import html
import re
from pathlib import Path

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.ometiff.first_page import read_first_page, read_ome_xml
from ome_writers.formats.registry import abbreviated_list, resolve_entry_file
from ome_writers.untrusted import MAX_IMAGES, check_count

TIFF_SUFFIXES = (".tif", ".tiff")
_FILE_NAME = re.compile(rb'(?:FileName|MetadataFile)="([^"]*)"')
_OME_XML = re.compile(rb"<(?:\w+:)?OME\b")
_OME_TIFF = re.compile(r"\.ome\.tiff?$", re.IGNORECASE)


def has_ome_suffix(file: Path) -> bool:
    return _OME_TIFF.search(file.name) is not None


def is_ometiff(path: Path) -> bool:
    """Whether a file contains OME-XML, or a folder contains TIFF files with OME-XML, or damaged ones."""
    if path.is_dir():
        return bool(tiff_files(path)) and not is_plain_tiff(path)
    try:
        return path.is_file() and _OME_XML.search(read_first_page(path).description) is not None
    except UnsupportedError:
        return False


def is_plain_tiff(path: Path) -> bool:
    """Whether a file is a TIFF without OME-XML, or a folder contains such files and none that is called OME-TIFF."""
    if path.is_dir():
        files = tiff_files(path)
        return bool(files) and not any(map(has_ome_suffix, files)) and is_plain_tiff(files[0])
    if not path.is_file() or has_ome_suffix(path):
        return False
    try:
        return _OME_XML.search(read_first_page(path).description) is None
    except InvalidFileError:
        return False
    except UnsupportedError:  # does not have a description
        return True


def ome_xml_files(path: Path) -> list[Path]:
    """Return the files that may contain OME-XML: `path` itself, or companion files and then TIFF files in a folder."""
    if not path.is_dir():
        return [path]
    return [*_files_ending_with(path, (".companion.ome",)), *tiff_files(path)]


def tiff_files(folder: Path) -> list[Path]:
    """Return the TIFF files in a folder, sorted by name, without hidden ones (macOS writes ``._run.ome.tiff``)."""
    return _files_ending_with(folder, TIFF_SUFFIXES)


def _files_ending_with(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    files = (f for f in folder.iterdir() if f.name.lower().endswith(suffixes))
    return sorted(f for f in files if not f.name.startswith("."))


def first_tiff(path: Path) -> Path:
    """Return the file to read OME-XML from: `path` itself, or the first file of the set in the folder `path`.

    Raises UnsupportedError if the TIFF files in the folder are not one set.
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
    text = read_ome_xml(first, root) if others else b""
    if not others or b"<BinaryOnly" in text[:4096]:
        return []
    listed = _file_names(text)
    return [f.name for f in others if f.name not in listed]


def tiff_datasets(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return one file per OME-TIFF dataset, and the TIFF files without OME-XML."""
    datasets: list[Path] = []
    others: list[Path] = []
    members: set[str] = set()
    for file in tiff_files(folder):
        if file.name in members or not file.is_file() or resolve_entry_file(file) != file:
            continue
        names = _members(file)
        if names is None and not has_ome_suffix(file):
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
