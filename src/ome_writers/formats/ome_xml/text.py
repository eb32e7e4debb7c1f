"""Escaping for XML 1.0, and the start of the root element."""

from __future__ import annotations

import re
from functools import lru_cache

from ome_writers.formats.dataset_metadata import library_version

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
ROOT_UUID = re.compile(rb'(<OME\b[^>]*?\bUUID=")([^"]*)')
"""The start of the root element up to its UUID, and the UUID."""
# Recommended by https://docs.openmicroscopy.org/latest/ome-model/ome-tiff/specification.html
_WARNING = (
    b"<!-- Warning: this comment is an OME-XML metadata block, which contains crucial dimensional parameters and other "
    b"important metadata. Please edit cautiously (if at all), and back up the original data before doing so. For more "
    b"information, see the OME-TIFF web site: https://docs.openmicroscopy.org/latest/ome-model/ome-tiff/. -->\n"
)
# Characters that XML forbids. (A pattern of the allowed ones takes ten milliseconds to compile.)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WHITESPACE = re.compile("[\t\n\r]")


@lru_cache(maxsize=4096)
def quote_attribute(text: str) -> str:
    """Return `text` as a quoted attribute value; see `representable`."""
    quoted = escape_text(representable(text)).replace('"', "&quot;")
    return f'"{quoted}"'


def representable(text: str) -> str:
    """Return `text` as an attribute represents it: spaces for line ends and tabs, U+FFFD for what XML forbids.

    Line ends and tabs would need numeric character references, which Bio-Formats corrupts (it replaces "&#" before
    parsing).
    """
    return _FORBIDDEN.sub("\ufffd", _WHITESPACE.sub(" ", text))


def attribute(name: str, value: str | float | None, unit: str = "") -> str:
    """Return an attribute with a space before it, and one with its unit; nothing for None or an empty value."""
    if value is None or value == "":
        return ""
    text = f" {name}={quote_attribute(value if isinstance(value, str) else repr(value))}"
    return f"{text} {name}Unit={quote_attribute(unit)}" if unit else text


def escape_text(text: str) -> str:
    """Return `text` as the content of an element, with U+FFFD for characters that XML forbids."""
    allowed = _FORBIDDEN.sub("\ufffd", text)
    return allowed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def open_root(uuid: str | None) -> str:
    """Return the XML declaration and the start tag of the root element."""
    identity = f" UUID={quote_attribute(uuid)}" if uuid else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<OME xmlns="{NAMESPACE}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{NAMESPACE} {NAMESPACE}/ome.xsd"{identity} Creator="ome-writers {library_version()}">'
    )


def with_warning(document: bytes) -> bytes:
    """Return a document with the warning to people who edit the ImageDescription of a TIFF, after the declaration."""
    return (
        document
        if _WARNING in document[:1024]
        else document.replace(b"?>\n", b"?>\n" + _WARNING, 1)
    )


def without_warning(document: bytes) -> bytes:
    """Return a document without the warning."""
    return document.replace(_WARNING, b"", 1)


def root_uuid(text: bytes) -> str:
    """Return the UUID of the root element of an OME-XML of this library; empty without one."""
    found = ROOT_UUID.search(text)
    return found[2].decode() if found else ""
