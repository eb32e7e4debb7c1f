"""Proof of origin: what may be removed, because this library wrote every file of it.

A dataset proves where it comes from by an id that its documents carry, and each of its files by a place in the layout
that these documents describe, or by a UUID that they name. Names and substrings prove nothing.
"""

from __future__ import annotations

import os
import re
import struct
import uuid
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ome_writers.errors import UnsupportedError
from ome_writers.formats.detection import ome_xml_files
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.ome_xml import read_acquisition_annotation
from ome_writers.formats.ometiff.entry_file import entry_file_target
from ome_writers.formats.ometiff.first_page import parse_ome_xml, read_ome_xml, read_software
from ome_writers.formats.omezarr.group_metadata import (
    group_attributes,
    image_groups,
    read_json_object,
)
from ome_writers.formats.omezarr.layout import join_key
from ome_writers.formats.omezarr.metadata import XML_KEY
from ome_writers.formats.scratch import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

__all__ = ["foreign_files", "foreign_files_of_aborted_start", "is_own_entry"]

_STATUSES = ("writing", "complete", "cancelled", "failed")
_CHUNK = re.compile(r"(?P<array>.*)/c(?:[/.][0-9]+)*", re.DOTALL)
_PART = re.compile(r"[^/]+_p[0-9]{3,}\.ome\.tiff?", re.IGNORECASE)
_SAMPLES = re.compile(r"pos_[0-9]+\.dat")
_TEMPORARY = (
    re.compile(r"\.(?P<of>.+?)(?:\.[0-9]+-[0-9]+)?\.tmp", re.DOTALL),
    re.compile(r"(?P<of>.+)\.__lock", re.DOTALL),
    re.compile(r"(?P<of>.+)\.[0-9a-f]{32}\.partial", re.DOTALL),
)
_STAGE = "/.stage.tmp/"
_MADE_BY_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}
_UNREADABLE: tuple[type[Exception], ...] = (UnsupportedError, OSError, ArithmeticError)
_UNREADABLE += (AttributeError, LookupError, TypeError, ValueError)
_BIG_TIFF = b"II+\0\x08\0\0\0"
_LEGACY = re.compile(r"0\.[0-9]+\.[0-9]+.*")


def foreign_files(path: Path, is_lock: Callable[[str], bool]) -> list[str] | None:
    """Return the files at `path` that do not provably belong to a dataset of this library.

    Parameters
    ----------
    path
        A file or a folder. A symbolic link is not followed.
    is_lock
        Whether a name in the folder is that of a lock.

    Returns
    -------
    list of str or None
        The foreign files, by their names below `path`; empty if all may be removed. None if nothing proves that there
        is a dataset of this library.
    """
    if path.is_symlink():
        return None
    try:
        if not path.is_dir():
            return [] if _is_own_file(path) else None
        belongs = _zarr(path) or _scratch(path) or _tiff_set(path)
    except _UNREADABLE:
        return None  # its documents do not say what belongs to it
    return None if belongs is None else _others(path, belongs, is_lock)


def is_own_entry(path: Path) -> bool:
    """Whether a file is the entry file that this library wrote for a set: it contains no frames."""
    return not path.is_symlink() and entry_file_target(path) is not None and _is_by_us(path)


def foreign_files_of_aborted_start(
    path: Path, is_lock: Callable[[str], bool], *, locked: bool
) -> list[str]:
    """Return the files at `path` that a stream which was killed as it began has not made; see `foreign_files`.

    Parameters
    ----------
    path, is_lock
        See `foreign_files`.
    locked
        Whether that stream had locked it, and could make more than a folder.
    """
    if path.is_symlink() or not path.is_dir():
        return [] if locked and _is_torn_tiff(path) else [path.name]

    def belongs(file: str) -> object:
        folder, _, name = file.rpartition("/")
        if _PART.fullmatch(file):
            return _is_torn_tiff(path / file)
        return (
            name in ("zarr.json", JOURNAL_NAME)
            or file in (XML_KEY, MANIFEST)
            or _CHUNK.fullmatch(file) is not None
            or (not folder and (_SAMPLES.fullmatch(name) or name.endswith(".companion.ome")))
            or _PART.fullmatch(file.removesuffix(".jsonl")) is not None
        )

    return _others(path, belongs if locked else lambda _: False, is_lock)


def _others(
    folder: Path, belongs: Callable[[str], object], is_lock: Callable[[str], bool]
) -> list[str]:
    """Return the files in a folder that do not belong there, by their names below it."""

    def known(file: str) -> bool:
        if belongs(file) or is_lock(file):
            return True
        if _STAGE in f"/{file}":  # where a library assembles what goes into the folder
            return known(f"/{file}".replace(_STAGE, "/", 1)[1:])
        name = file[file.rfind("/") + 1 :]
        bases = (match["of"] for each in _TEMPORARY if (match := each.fullmatch(name)))
        made = any(belongs(file[: len(file) - len(name)] + base) for base in bases)
        return made or name in _MADE_BY_SYSTEMS

    return sorted(file for file in _files(folder) if not known(file))


def _files(folder: Path, prefix: str = "") -> Iterator[str]:
    """Iterate over all that is not a folder, links included, with ``/`` between names."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def _proves(facts: Any, *, earlier: bool) -> bool:
    """Whether facts in a document are those of a dataset of this library; `earlier` says so of those without an id."""
    if not isinstance(facts, dict) or not isinstance(facts.get("version"), str):
        return False
    if "id" not in facts:
        return earlier
    try:
        return bool(uuid.UUID(facts["id"]).urn == facts["id"])
    except (ValueError, TypeError, AttributeError):
        return False


def _zarr(root: Path) -> Callable[[str], bool] | None:
    """Return which files belong to an OME-Zarr of this library; None if it is not one."""
    ours = group_attributes(root).get("ome_writers")
    facts = ours if isinstance(ours, dict) else {}
    settings = facts.get("settings")
    earlier = (
        isinstance(settings, dict)
        and {"root_path", "dimensions", "format"} <= settings.keys()
        and facts.get("status") in _STATUSES
    )
    if not _proves(facts, earlier=earlier) and not _is_legacy_zarr(root):
        return None
    files = {"zarr.json", "OME/zarr.json", XML_KEY}
    arrays = set()
    for group in image_groups(root):
        folders = group.split("/")
        files |= {join_key("/".join(folders[:n]), "zarr.json") for n in range(len(folders) + 1)}
        files.add(join_key(group, JOURNAL_NAME))
        for multiscale in group_attributes(root / group)["ome"]["multiscales"]:
            arrays |= {join_key(group, level["path"]) for level in multiscale["datasets"]}
    files |= {f"{array}/zarr.json" for array in arrays}

    def belongs(file: str) -> bool:
        chunk = _CHUNK.fullmatch(file)
        return file in files or (chunk is not None and chunk["array"] in arrays)

    return belongs


def _is_legacy_zarr(root: Path) -> bool:
    """Whether each image names a version 0.3 of this library, which wrote that with the frame metadata."""
    if not group_attributes(root):
        return False
    facts = [group_attributes(root / group).get("ome_writers") for group in image_groups(root)]
    return bool(facts) and all(
        isinstance(each, dict)
        and isinstance(each.get("version"), str)
        and _LEGACY.fullmatch(each["version"]) is not None
        and isinstance(each.get("frame_metadata"), list)
        for each in facts
    )


def _scratch(root: Path) -> Callable[[str], bool] | None:
    manifest = read_json_object(root / MANIFEST)
    facts = manifest.get("ome_writers", {"version": manifest.get("version", "1.0.0")})
    settings = manifest.get("settings", manifest)  # version 0.3 had them at the top
    shapes = manifest.get("position_shapes")
    earlier = (
        isinstance(settings, dict)
        and {"root_path", "dimensions", "dtype", "format"} <= settings.keys()
        and (manifest.get("status") in _STATUSES or bool(_LEGACY.fullmatch(facts["version"])))
        and isinstance(manifest.get("global_metadata"), dict)
    )
    if not _proves(facts, earlier=earlier) or not isinstance(shapes, list):
        return None
    files = {MANIFEST, JOURNAL_NAME, *(f"pos_{n}.dat" for n in range(len(shapes)))}
    return files.__contains__


def _tiff_set(folder: Path) -> Callable[[str], bool] | None:
    """Return which files belong to a set of OME-TIFF files: those that its OME-XML names, if they have its UUIDs."""
    found = next(filter(None, map(_main_document, ome_xml_files(folder))), None)
    if found is None:
        return None
    main, uuids = found

    def belongs(file: str) -> bool:
        name = file.removesuffix(".jsonl")
        if file == main and not file.lower().endswith((".tif", ".tiff")):
            return True
        if name != file or name not in uuids:
            return name in uuids
        return _is_own_file(folder / file, part=True) and _uuid(folder / file) == uuids[name]

    return belongs


def _main_document(file: Path) -> tuple[str, dict[str, str]] | None:
    """Return the name of a file that holds the OME-XML of a set, and the UUIDs in it; None if it does not."""
    try:
        document = parse_ome_xml(read_ome_xml(file), file)
    except UnsupportedError:
        return None
    uuids = _uuids(document)
    return (file.name, uuids) if uuids and _has_facts(document) else None


def _uuids(document: Element) -> dict[str, str]:
    """Return the UUID of each file that an OME-XML names."""
    links = document.iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")
    return {link.get("FileName", ""): (link.text or "").strip() for link in links}


def _has_facts(document: Element) -> bool:
    facts = read_acquisition_annotation(document)
    return _proves(facts, earlier=facts.get("status") in _STATUSES and "frames_written" in facts)


def _uuid(file: Path) -> str:
    """Return the UUID of a file, for which no more of its OME-XML is parsed than the first element."""
    events = ElementTree.iterparse(BytesIO(read_ome_xml(file)), ("start",))
    return next((str(element.get("UUID", "")) for _, element in events), "")


def _is_own_file(file: Path, *, part: bool = False) -> bool:
    """Whether a file is an OME-TIFF that this library wrote, and which is not part of a set, or is (`part`)."""
    if part or not _is_by_us(file):
        return part and _is_by_us(file)
    try:
        document = parse_ome_xml(read_ome_xml(file), file)
    except (UnsupportedError, OSError):
        return False
    return _has_facts(document) and not _uuids(document)


def _is_by_us(file: Path) -> bool:
    """Whether a TIFF's Software tag names this library: another program that writes the file again replaces it."""
    try:
        return not file.is_symlink() and read_software(file).startswith(b"ome-writers ")
    except (UnsupportedError, OSError):
        return False


def _is_torn_tiff(file: Path) -> bool:
    """Whether a file may be what a writer of this library left that was killed as it made the first page."""
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as stream:
        head = stream.read(16)
        if not head.strip(b"\0"):
            return True
        if not (head.startswith(_BIG_TIFF) or _BIG_TIFF.startswith(head)):
            return False
        if len(head) == 16:
            (first,) = struct.unpack("<Q", head[8:])
            stream.seek(min(first, 2**62))
            count = stream.read(8)
            if len(count) == 8:
                end = first + 8 + 20 * struct.unpack("<Q", count)[0] + 8
                return end > file.stat().st_size or _is_by_us(file)
    return True
