"""The first page of a TIFF, read without a library: all that tells what the file is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.untrusted import (
    Limit,
    TiffStructure,
    member,
    open_regular,
    parse_xml,
    read_regular,
)

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

__all__ = [
    "FirstPage",
    "parse_ome_xml",
    "read_first_page",
    "read_ome_xml",
    "read_software",
    "referenced_metadata_file",
    "reject_doctype",
]

_COMPRESSION, _DESCRIPTION, _SOFTWARE = 259, 270, 305


class FirstPage(NamedTuple):
    """What a TIFF's first page says, all of it as it was at one moment.

    Attributes
    ----------
    at
        Where the page stands in the file.
    description
        Its ImageDescription, encoded.
    compression
        The number of its compression; 1 is none.
    """

    at: int
    description: bytes
    compression: int


def read_first_page(file: Path, root: Path | None = None) -> FirstPage:
    """Return what a TIFF's first page says; `root` is the folder of its set, which no link may lead out of.

    Raises
    ------
    UnsupportedError
        If it is no TIFF, ends inside its first page, or has no description, or one with a document type.
    """
    fd = open_regular(file, root=root)
    try:
        tiff = TiffStructure(fd, file)
        page = tiff.directory(tiff.first)
        compressions = tiff.integers(page.entries.get(_COMPRESSION))
        entry = page.entries.get(_DESCRIPTION)
        if entry is None:
            raise UnsupportedError(f"{file} holds no OME-XML: its first page has no description.")
        description = tiff.content(entry).rstrip(b"\0")
    finally:
        os.close(fd)
    reject_doctype(description, file)
    return FirstPage(page.offset, description, int(compressions[0]) if len(compressions) else 1)


def read_software(file: Path) -> bytes:
    """Return the Software tag of a TIFF's first page; empty if it has none.

    Raises
    ------
    UnsupportedError
        If it is not a TIFF, or ends inside its first page.
    """
    fd = open_regular(file)
    try:
        tiff = TiffStructure(fd, file)
        entry = tiff.directory(tiff.first).entries.get(_SOFTWARE)
        return b"" if entry is None else tiff.content(entry)
    finally:
        os.close(fd)


def read_ome_xml(file: Path, root: Path | None = None) -> bytes:
    """Return the OME-XML of a file: a companion's whole content, or what a TIFF's first page says.

    Raises
    ------
    UnsupportedError
        If there is none, or one with a document type.
    """
    if file.suffix.lower() == ".ome":
        return reject_doctype(read_regular(file, Limit.XML, root=root), file)
    return read_first_page(file, root).description


def parse_ome_xml(text: bytes, file: Path) -> Element:
    """Return the OME-XML that stands in a file.

    Raises
    ------
    UnsupportedError
        If it is no XML: another program's description of a TIFF, or a text that was cut off.
    """
    try:
        return parse_xml(text, file)
    except InvalidFileError as error:
        said = repr(text[:40].decode("latin-1")) + ("..." if len(text) > 40 else "")
        raise InvalidFileError(
            f"{file} is no OME-TIFF: its description {said} is no OME-XML ({error})"
        ) from None


def reject_doctype(text: bytes, file: Path) -> bytes:
    """Return the text of an XML document, unless it has a document type: what that may define is not read.

    Raises
    ------
    UnsupportedError
        If it has one.
    """
    if b"<!DOCTYPE" in text[:4096] or b"<!ENTITY" in text:
        raise InvalidFileError(f"{file}: OME-XML with a document type is not read.")
    return text


def referenced_metadata_file(folder: Path, name: str) -> Path:
    """Return the file of a set that holds the OME-XML, as another file of it names it.

    Raises
    ------
    UnsupportedError
        If there is no such file in `folder`.
    """
    path = member(folder, name) if name else folder
    if path.parent != folder or not path.is_file():
        raise UnsupportedError(f"The metadata of {folder} lie in {name!r}, which is not there.")
    return path
