"""Ownership: proof that this library wrote every file at a path, before anything there is removed.

The metadata of a dataset proves its origin by an id. A file belongs to the dataset if its key is part of the layout in
that metadata, or if it has a UUID that the metadata lists. File names and substrings are not proof.
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
from ome_writers.formats.omezarr.layout import XML_KEY, join_key
from ome_writers.formats.scratch import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

__all__ = ["foreign_files", "foreign_files_of_aborted_start", "is_own_entry"]

_STATUSES = ("writing", "complete", "cancelled", "failed")
_CHUNK = re.compile(r"(?P<array>.*)/c(?:[/.][0-9]+)*", re.DOTALL)
_SET_MEMBER = re.compile(r"[^/]+_p[0-9]{3,}\.ome\.tiff?", re.IGNORECASE)
_SCRATCH_ARRAY = re.compile(r"pos_[0-9]+\.dat")
_TEMPORARY = (
    re.compile(r"\.(?P<target>.+?)(?:\.[0-9]+-[0-9]+)?\.tmp", re.DOTALL),
    re.compile(r"(?P<target>.+)\.__lock", re.DOTALL),
    re.compile(r"(?P<target>.+)\.[0-9a-f]{32}\.partial", re.DOTALL),
)
_STAGING_FOLDER = "/.stage.tmp/"  # where a library assembles what it moves into the dataset
_SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}
_PARSE_ERRORS: tuple[type[Exception], ...] = (UnsupportedError, OSError, ArithmeticError)
_PARSE_ERRORS += (AttributeError, LookupError, TypeError, ValueError)
_BIGTIFF_HEADER = b"II+\0\x08\0\0\0"
_VERSION_0 = re.compile(r"0\.[0-9]+\.[0-9]+.*")


def foreign_files(path: Path, is_lock: Callable[[str], bool]) -> list[str] | None:
    """Return the files at `path` that do not provably belong to a dataset of this library.

    Parameters
    ----------
    path
        A file or a folder. A symbolic link is not followed.
    is_lock
        Whether a name in the folder is the name of a lock file.

    Returns
    -------
    list of str or None
        Paths of the foreign files relative to `path`; empty if all files may be removed. None if there is no proof of
        a dataset of this library.
    """
    if path.is_symlink():
        return None
    try:
        if not path.is_dir():
            return [] if _is_own_single_file(path) else None
        belongs = _zarr(path) or _scratch(path) or _tiff_set(path)
    except _PARSE_ERRORS:
        return None  # its metadata is damaged
    return None if belongs is None else _foreign(path, belongs, is_lock)


def is_own_entry(path: Path) -> bool:
    """Whether a file is an entry file that this library wrote for a set; it does not contain frames."""
    return (
        not path.is_symlink()
        and entry_file_target(path) is not None
        and _has_own_software_tag(path)
    )


def foreign_files_of_aborted_start(
    path: Path, is_lock: Callable[[str], bool], *, locked: bool
) -> list[str]:
    """Return the files at `path` that a stream killed during its creation cannot have written.

    A stream that has not `locked` the output yet creates only a folder. See `foreign_files`.
    """
    if path.is_symlink() or not path.is_dir():
        return [] if locked and _is_incomplete_tiff(path) else [path.name]

    def belongs(file: str) -> object:
        folder, _, name = file.rpartition("/")
        if _SET_MEMBER.fullmatch(file):
            return _is_incomplete_tiff(path / file)
        return (
            name in ("zarr.json", JOURNAL_NAME)
            or file in (XML_KEY, MANIFEST)
            or _CHUNK.fullmatch(file) is not None
            or (not folder and (_SCRATCH_ARRAY.fullmatch(name) or name.endswith(".companion.ome")))
            or _SET_MEMBER.fullmatch(file.removesuffix(".jsonl")) is not None
        )

    return _foreign(path, belongs if locked else lambda _: False, is_lock)


def _foreign(
    folder: Path, belongs: Callable[[str], object], is_lock: Callable[[str], bool]
) -> list[str]:
    """Return the relative paths of files that neither belong to the dataset nor to a lock, library or system."""

    def known(file: str) -> bool:
        if belongs(file) or is_lock(file):
            return True
        if _STAGING_FOLDER in f"/{file}":
            return known(f"/{file}".replace(_STAGING_FOLDER, "/", 1)[1:])
        name = file[file.rfind("/") + 1 :]
        targets = (match["target"] for each in _TEMPORARY if (match := each.fullmatch(name)))
        is_temporary = any(belongs(file[: len(file) - len(name)] + target) for target in targets)
        return is_temporary or name in _SYSTEM_FILES

    return sorted(file for file in _files(folder) if not known(file))


def _files(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield relative POSIX paths of all files and symbolic links below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def _is_proof(info: Any, *, without_id: bool) -> bool:
    """Whether `info` has the version and id that this library writes; `without_id` is the result if it has no id."""
    if not isinstance(info, dict) or not isinstance(info.get("version"), str):
        return False
    if "id" not in info:
        return without_id
    try:
        return bool(uuid.UUID(info["id"]).urn == info["id"])
    except (ValueError, TypeError, AttributeError):
        return False


def _zarr(root: Path) -> Callable[[str], bool] | None:
    """Return a predicate for the files of an OME-Zarr of this library; None if it is not one."""
    ours = group_attributes(root).get("ome_writers")
    info = ours if isinstance(ours, dict) else {}
    settings = info.get("settings")
    is_prerelease = (
        isinstance(settings, dict)
        and {"root_path", "dimensions", "format"} <= settings.keys()
        and info.get("status") in _STATUSES
    )
    if not _is_proof(info, without_id=is_prerelease) and not _is_version_0_zarr(root):
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


def _is_version_0_zarr(root: Path) -> bool:
    """Whether each image has the attributes of version 0.3 of this library: version and frame metadata."""
    if not group_attributes(root):
        return False
    infos = [group_attributes(root / group).get("ome_writers") for group in image_groups(root)]
    return bool(infos) and all(
        isinstance(each, dict)
        and isinstance(each.get("version"), str)
        and _VERSION_0.fullmatch(each["version"]) is not None
        and isinstance(each.get("frame_metadata"), list)
        for each in infos
    )


def _scratch(root: Path) -> Callable[[str], bool] | None:
    manifest = read_json_object(root / MANIFEST)
    info = manifest.get("ome_writers", {"version": manifest.get("version", "1.0.0")})
    settings = manifest.get("settings", manifest)  # version 0.3: at the top
    shapes = manifest.get("position_shapes")
    is_earlier_version = (
        isinstance(settings, dict)
        and {"root_path", "dimensions", "dtype", "format"} <= settings.keys()
        and (manifest.get("status") in _STATUSES or bool(_VERSION_0.fullmatch(info["version"])))
        and isinstance(manifest.get("global_metadata"), dict)
    )
    if not _is_proof(info, without_id=is_earlier_version) or not isinstance(shapes, list):
        return None
    files = {MANIFEST, JOURNAL_NAME, *(f"pos_{n}.dat" for n in range(len(shapes)))}
    return files.__contains__


def _tiff_set(folder: Path) -> Callable[[str], bool] | None:
    """Return a predicate for the files of an OME-TIFF set: those in its OME-XML that have the listed UUID."""
    found = next(filter(None, map(_main_file, ome_xml_files(folder))), None)
    if found is None:
        return None
    main, uuids = found

    def belongs(file: str) -> bool:
        name = file.removesuffix(".jsonl")
        if file == main and not file.lower().endswith((".tif", ".tiff")):
            return True
        if name != file or name not in uuids:
            return name in uuids
        return _has_own_software_tag(folder / file) and _uuid(folder / file) == uuids[name]

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
    is_prerelease = info.get("status") in _STATUSES and "frames_written" in info
    return _is_proof(info, without_id=is_prerelease)


def _uuid(file: Path) -> str:
    """Return the UUID of a file, from the root element of its OME-XML; the rest is not parsed."""
    events = ElementTree.iterparse(BytesIO(read_ome_xml(file)), ("start",))
    return next((str(element.get("UUID", "")) for _, element in events), "")


def _is_own_single_file(file: Path) -> bool:
    """Whether a file is an OME-TIFF that this library wrote and that is not part of a set."""
    if not _has_own_software_tag(file):
        return False
    try:
        document = parse_ome_xml(read_ome_xml(file), file)
    except (UnsupportedError, OSError):
        return False
    return _is_own_document(document) and not _uuids(document)


def _has_own_software_tag(file: Path) -> bool:
    """Whether the Software tag of a TIFF names this library; programs that rewrite a file replace the tag."""
    try:
        return not file.is_symlink() and read_software(file).startswith(b"ome-writers ")
    except (UnsupportedError, OSError):
        return False


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
                return end > file.stat().st_size or _has_own_software_tag(file)
    return True
