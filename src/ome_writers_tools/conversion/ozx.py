"""Packing of an OME-Zarr into a single file (``.ozx``), and back. Pixels are copied as they are stored.

Source: https://ngff.openmicroscopy.org/rfc/9/
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from ome_writers import (
    DatasetSpec,
    InvalidFileError,
    OutputExistsError,
    UnsupportedError,
    WriteError,
    read,
)
from ome_writers.toolkit import (
    archive_members,
    member,
    open_regular,
    rename,
    sync,
    sync_folder,
    sync_tree,
)
from ome_writers_tools.mirroring import refuse_moved, scan

_BLOCK_BYTES = 2**22
# Before 3.11.4, `zipfile` forces ZIP64 with local headers that strict readers refuse (python/cpython#103861).
# Members that need ZIP64 for their size have it in any case; RFC 9 only recommends it for the others.
_FORCE_ZIP64 = sys.version_info >= (3, 11, 4)
# APPNOTE.TXT of ZIP, 4.3.14 to 4.3.16
_END = struct.Struct("<10xH2L2x")  # number of entries; size and offset of the central directory
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_SIGNATURE = b"PK\6\7"


def pack(
    spec: DatasetSpec, destination: Path, *, overwrite: bool, on_file: Callable[[int, int], object]
) -> None:
    """Write an OME-Zarr into a ZIP file, without compression, ``zarr.json`` files first and breadth-first.

    The file gets its name when it is complete and on disk.

    Raises OutputExistsError if `destination` exists, unless `overwrite` and this library wrote it; UnsupportedError if
    the writer of the dataset was killed; InvalidFileError if the dataset contains a link.
    """
    if spec.status == "writing":
        raise UnsupportedError(
            f"{spec.path}: the writer was killed (status 'writing'). Run `ome-writers repair {spec.path}` first."
        )
    if os.path.lexists(destination) and not (overwrite and _is_own(destination)):
        raise _exists(destination)
    refuse_moved(spec.path, "the archive")
    names = sorted((file.key for file in scan(spec.path)), key=_order)
    facts = {"version": spec.version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}
    comment = json.dumps({"ome": facts}).encode()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _complete_or_nothing(destination) as temporary:
        with ZipFile(temporary, "x", ZIP_STORED, allowZip64=True) as archive:
            archive.comment = comment
            for number, name in enumerate(names, 1):
                path = spec.path / name
                info = ZipInfo.from_file(path, name, strict_timestamps=False)
                with (
                    open(open_regular(path, root=spec.path), "rb") as file,
                    archive.open(info, "w", force_zip64=_FORCE_ZIP64) as target,
                ):
                    shutil.copyfileobj(file, target, _BLOCK_BYTES)
                on_file(number, len(names))
        with temporary.open("rb+") as written:
            _add_zip64_end(written, comment)
            sync(written.fileno())


def _add_zip64_end(archive: BinaryIO, comment: bytes) -> None:
    """Insert the ZIP64 records before the end of central directory record, unless `zipfile` has: only large archives.

    The end of central directory record keeps its values, for readers without ZIP64.
    """
    at = archive.seek(-_END.size - len(comment), os.SEEK_END)
    end = archive.read()
    archive.seek(max(0, at - _LOCATOR.size))
    if archive.read(4) == _LOCATOR_SIGNATURE:
        return
    entries, size, offset = _END.unpack_from(end)
    record = _ZIP64_END.pack(
        b"PK\6\6", _ZIP64_END.size - 12, 45, 45, 0, 0, *(entries,) * 2, size, offset
    )
    archive.seek(at)
    archive.write(record + _LOCATOR.pack(_LOCATOR_SIGNATURE, 0, at, 1) + end)


def unpack(source: Path, destination: Path, *, on_file: Callable[[int, int], object]) -> None:
    """Write the members of a single-file OME-Zarr to a directory, which gets its name when it is complete and on disk.

    Raises OutputExistsError if `destination` exists, and InvalidFileError if the archive is truncated, has compressed
    members, or one whose name leads out of the directory.
    """
    if os.path.lexists(destination):
        raise _exists(destination)
    names = [name for name in archive_members(source) if not name.endswith("/")]
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _complete_or_nothing(destination) as temporary:
        temporary.mkdir()
        with ZipFile(source) as archive:
            for number, name in enumerate(names, 1):
                path = member(temporary, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as file, path.open("xb") as target:
                    shutil.copyfileobj(file, target, _BLOCK_BYTES)
                on_file(number, len(names))
        sync_tree(temporary)


def compare(archive: Path, folder: Path, *, on_file: Callable[[int, int], object]) -> None:
    """Raise WriteError if a member of an archive differs from the file below `folder`."""
    with ZipFile(archive) as file:
        names = [name for name in file.namelist() if not name.endswith("/")]
        for number, name in enumerate(names, 1):
            with file.open(name) as one, open(member(folder, name), "rb") as other:
                while block := one.read(_BLOCK_BYTES):
                    if other.read(len(block)) != block:
                        raise WriteError(f"{archive}: {name} differs from {folder / name}.", [])
            on_file(number, len(names))


@contextmanager
def _complete_or_nothing(destination: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `destination` afterwards, or removed after an error."""
    name = f".{destination.name}.{os.getpid()}-{threading.get_ident()}.tmp"
    temporary = destination.with_name(name)
    try:
        yield temporary
        if temporary.is_dir() and os.path.lexists(destination):
            raise _exists(destination)
        rename(temporary, destination)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(destination.parent)


def _exists(destination: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{destination} exists. Choose another name, or remove it; --overwrite (overwrite=True) replaces only an .ozx "
        f"file of this library."
    )


def _is_own(destination: Path) -> bool:
    try:
        return destination.is_file() and read(destination).status is not None
    except (InvalidFileError, UnsupportedError):
        return False


def _order(name: str) -> tuple[bool, int, str]:
    """Return the sort key that puts ``zarr.json`` files first, and those of the root before those below it."""
    is_metadata = name == "zarr.json" or name.endswith("/zarr.json")
    return not is_metadata, name.count("/") if is_metadata else 0, name
