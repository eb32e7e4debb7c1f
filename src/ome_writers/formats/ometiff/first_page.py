"""The first page of a TIFF, read without a library: all that tells what the file is.

Sources: TIFF 6.0, section 2; the BigTIFF design (8-byte offsets, 20-byte entries, version 43).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from ome_writers.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

__all__ = ["FirstPage", "first_page", "ome_xml_text", "parsed", "without_document_type"]

_COMPRESSION, _DESCRIPTION = 259, 270
_MOST_ENTRIES = 65_536
_MOST_XML = 2**31  # bytes; more is no document


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


def first_page(file: Path) -> FirstPage:
    """Return what a TIFF's first page says.

    Raises
    ------
    UnsupportedError
        If it is no TIFF, ends inside its first page, or has no description, or one with a document type.
    """
    try:
        page = _first_page(file)
    except (struct.error, OverflowError):
        raise UnsupportedError(f"{file} is no whole TIFF: it ends inside its first page.") from None
    without_document_type(page.description, file)
    return page


def ome_xml_text(file: Path) -> bytes:
    """Return the OME-XML of a file: a companion's whole content, or what a TIFF's first page says.

    Raises
    ------
    UnsupportedError
        If there is none, or one with a document type.
    """
    if file.suffix.lower() == ".ome":
        return without_document_type(file.read_bytes(), file)
    return first_page(file).description


def parsed(text: bytes, file: Path) -> Element:
    """Return the OME-XML that stands in a file.

    Raises
    ------
    UnsupportedError
        If it is no XML: another program's description of a TIFF, or a text that was cut off.
    """
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        said = repr(text[:40].decode("latin-1")) + ("..." if len(text) > 40 else "")
        raise UnsupportedError(
            f"{file} is no OME-TIFF: its description {said} is no OME-XML ({error})."
        ) from None


def without_document_type(text: bytes, file: Path) -> bytes:
    """Return the text of an XML document, unless it has a document type: what that may define is not read.

    Raises
    ------
    UnsupportedError
        If it has one.
    """
    if b"<!DOCTYPE" in text[:4096] or b"<!ENTITY" in text:
        raise UnsupportedError(f"{file}: OME-XML with a document type is not read.")
    return text


def _first_page(file: Path) -> FirstPage:
    description, compression = None, 1
    with file.open("rb") as stream:
        head = stream.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) == 16 else 0
        if version not in (42, 43):
            raise UnsupportedError(f"{file} is no TIFF, and no folder of an OME-Zarr either.")
        big = version == 43
        word, many, size = ("Q", "Q", 20) if big else ("I", "H", 12)
        (page,) = struct.unpack_from(f"{order}{word}", head, 8 if big else 4)
        stream.seek(page)
        (count,) = struct.unpack(f"{order}{many}", stream.read(struct.calcsize(many)))
        directory = stream.read(min(count, _MOST_ENTRIES) * size)
        inline = struct.calcsize(word)
        for at in range(0, len(directory) - size + 1, size):
            tag, _, length = struct.unpack_from(f"{order}HH{word}", directory, at)
            value = directory[at + size - inline : at + size]
            if tag == _COMPRESSION:
                (compression,) = struct.unpack_from(f"{order}H", value)
            elif tag == _DESCRIPTION:
                if length > inline:
                    stream.seek(struct.unpack(f"{order}{word}", value)[0])
                    value = stream.read(min(length, _MOST_XML))
                description = value[:length].rstrip(b"\0")
    if description is None:
        raise UnsupportedError(f"{file} holds no OME-XML: its first page has no description.")
    return FirstPage(page, description, compression)
