"""Members of a single-file OME-Zarr (``.ozx``): byte ranges of a ZIP archive without compression.

Source: https://ngff.openmicroscopy.org/rfc/9/
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.untrusted.files import ByteRange, is_archive
from ome_writers.untrusted.remote import RemotePath

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_STORED = 0
_ENCRYPTED = 1
_REMOTE_BUFFER_BYTES = 2**16
_MAX_END_BYTES = 22 + 2**16  # end of the central directory, with the longest comment


def refuse_archive(path: Path) -> None:
    """Raise UnsupportedError if a path is an ``.ozx`` file, for operations on the files of a directory."""
    if is_archive(path):
        raise UnsupportedError(
            f"{path}: only a directory can be checked or changed, not an .ozx file. Unpack it first: "
            f"`ome-writers convert {path} {path.with_suffix('.ome.zarr')}`."
        )


def archive_members(archive: Path | str) -> Mapping[str, ByteRange]:
    """Return the members of an archive by name; their `offset` is that of the local header. See `byte_range`.

    Raises InvalidFileError if the archive is truncated, or a member is compressed or encrypted.
    """
    status = archive.object_status() if isinstance(archive, RemotePath) else os.stat(archive)
    return _members(archive, status.st_mtime_ns, status.st_size)


def open_archive(archive: Path | str) -> BinaryIO:
    """Open an archive for reading, on this disk or at a URL."""
    if isinstance(archive, RemotePath):
        return io.BufferedReader(archive.open_raw(), _REMOTE_BUFFER_BYTES)
    return open(archive, "rb")


@lru_cache(maxsize=16)
def _members(archive: Path | str, _mtime_ns: int, size: int) -> Mapping[str, ByteRange]:
    from zipfile import BadZipFile, ZipFile

    try:
        with open_archive(archive) as opened, ZipFile(opened) as file:
            infos = file.infolist()
            assert file.fp is not None
            file.fp.seek(max(0, size - _MAX_END_BYTES))
            end = file.fp.read()
            (stated,) = struct.unpack_from("<H", end, end.rfind(b"PK\5\6") + 20)
            if stated > len(file.comment):
                raise BadZipFile("the comment is truncated")  # zipfile does not check its length
    except (BadZipFile, ValueError, NotImplementedError, struct.error, OSError) as error:
        raise InvalidFileError(
            f"{archive} is truncated or is not a ZIP file. Copy it again from where it was created."
        ) from error
    members = {}
    for info in infos:
        if info.compress_type != _STORED or info.flag_bits & _ENCRYPTED:
            raise InvalidFileError(
                f"{archive}: {info.filename} is compressed or encrypted inside the ZIP file; only stored members are "
                f"read. Unpack the archive with another program, and open the directory."
            )
        if info.header_offset < 0 or info.header_offset + info.file_size > size:
            raise InvalidFileError(
                f"{archive}: {info.filename} ends after the end of the file. Copy it again."
            )
        members[info.filename] = ByteRange(info.header_offset, info.file_size)
    return members


def byte_range(archive: Path | str, file: BinaryIO, name: str) -> ByteRange:
    """Return the byte range of a member; `file` is the open archive.

    Raises FileNotFoundError if the archive does not have this member; InvalidFileError if the archive is damaged.
    """
    found = archive_members(archive).get(name)
    if found is None:
        raise FileNotFoundError(f"{archive} does not contain {name}.")
    file.seek(found.offset)
    header = file.read(_LOCAL_HEADER.size)
    signature, name_bytes, extra_bytes = (
        _LOCAL_HEADER.unpack(header) if len(header) == _LOCAL_HEADER.size else (b"", 0, 0)
    )
    if signature != b"PK\x03\x04":
        raise InvalidFileError(f"{archive}: {name} has no valid header. Copy the file again.")
    return ByteRange(found.offset + _LOCAL_HEADER.size + name_bytes + extra_bytes, found.size)


def read_member(archive: Path | str, name: str, limit: int) -> bytes:
    """Return the content of a member of at most `limit` bytes.

    Raises FileNotFoundError if the archive does not have this member, and InvalidFileError if the archive is damaged,
    or the member is larger than `limit`.
    """
    with open_archive(archive) as file:
        offset, size = byte_range(archive, file, name)
        if size > limit:
            raise InvalidFileError(
                f"{archive}/{name} is too large: {size:,} bytes. The limit for this kind of file is {limit:,} bytes."
            )
        file.seek(offset)
        content = file.read(size)
    if len(content) != size:
        raise InvalidFileError(f"{archive}: {name} is truncated. Copy the file again.")
    return content
