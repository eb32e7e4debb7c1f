"""Proof that this library wrote an OME-TIFF, and the files that belong to it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import STATUSES
from ome_writers.formats.ome_xml import parse_ome_xml, read_acquisition_annotation, root_uuid
from ome_writers.formats.ometiff.file_sets import ome_xml_files
from ome_writers.formats.ometiff.first_page import has_own_software_tag, read_ome_xml
from ome_writers.formats.ometiff.parse import load_ome_xml
from ome_writers.formats.ownership import is_proof
from ome_writers.formats.ro_crate import CRATE_NAME, is_own_crate

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SET_MEMBER = re.compile(r"[^/]+_p[0-9]{3,}\.ome\.tiff?", re.IGNORECASE)
_BIGTIFF_HEADER = b"II+\0\x08\0\0\0"


def dataset_id(path: Path) -> object:
    """Return the id of an OME-TIFF of this library; None if it does not have one."""
    return read_acquisition_annotation(load_ome_xml(path).xml).get("id")


def owned_files(path: Path) -> Callable[[str], bool] | None:
    """Return a predicate for the files of an OME-TIFF of this library; None if it is not one."""
    if path.is_dir():
        return _tiff_set(path)
    return (lambda _: True) if _is_own_single_file(path) else None


def is_startup_file(path: Path, key: str) -> bool:
    """Whether a stream that was killed during its creation may have left a file; see `FormatRow`."""
    if not key or _SET_MEMBER.fullmatch(key):
        return _is_incomplete_tiff(path / key)
    is_companion = "/" not in key and key.endswith(".companion.ome")
    return is_companion or bool(_SET_MEMBER.fullmatch(key.removesuffix(".jsonl")))


def _tiff_set(folder: Path) -> Callable[[str], bool] | None:
    """Return a predicate for the files of an OME-TIFF set: those in its OME-XML that have the listed UUID."""
    found = next(filter(None, map(_main_file, ome_xml_files(folder))), None)
    if found is None:
        return None
    main, uuids = found

    def belongs(file: str) -> bool:
        if file == CRATE_NAME:
            return is_own_crate(folder / file)
        name = file.removesuffix(".jsonl")
        if file == main and not file.lower().endswith((".tif", ".tiff")):
            return True
        if name != file or name not in uuids:
            return name in uuids
        return (
            has_own_software_tag(folder / file)
            and root_uuid(read_ome_xml(folder / file)) == uuids[name]
        )

    return belongs


def _main_file(file: Path) -> tuple[str, dict[str, str]] | None:
    """Return a file's name and the UUIDs in its OME-XML; None unless that describes a set of this library."""
    try:
        document = parse_ome_xml(read_ome_xml(file), file)
    except UnsupportedError:
        return None
    uuids = _uuids(document)
    return (file.name, uuids) if uuids and _is_own_document(document) else None


def _uuids(document: Element) -> dict[str, str]:
    """Return file name to UUID of each TiffData element."""
    links = document.iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")
    return {link.get("FileName", ""): (link.text or "").strip() for link in links}


def _is_own_document(document: Element) -> bool:
    info = read_acquisition_annotation(document)
    is_prerelease = info.get("status") in STATUSES and "frames_written" in info
    return is_proof(info, without_id=is_prerelease)


def _is_own_single_file(file: Path) -> bool:
    """Whether a file is an OME-TIFF that this library wrote and that is not part of a set."""
    if not has_own_software_tag(file):
        return False
    try:
        document = parse_ome_xml(read_ome_xml(file), file)
    except (UnsupportedError, OSError):
        return False
    return _is_own_document(document) and not _uuids(document)


def _is_incomplete_tiff(file: Path) -> bool:
    """Whether a writer of this library that was killed while it wrote the first IFD may have left this file."""
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as stream:
        head = stream.read(16)
        if not head.strip(b"\0"):
            return True
        if not (head.startswith(_BIGTIFF_HEADER) or _BIGTIFF_HEADER.startswith(head)):
            return False
        if len(head) == 16:
            (first,) = struct.unpack("<Q", head[8:])
            stream.seek(min(first, 2**62))
            count = stream.read(8)
            if len(count) == 8:
                end = first + 8 + 20 * struct.unpack("<Q", count)[0] + 8
                return end > file.stat().st_size or has_own_software_tag(file)
    return True
