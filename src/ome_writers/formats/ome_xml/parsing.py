"""Parsing of OME-XML, of OME-TIFF files and of the file in an OME-Zarr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import InvalidFileError
from ome_writers.untrusted import MAX_IMAGES, check_count, parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_PARSED = 8  # documents of one operation in memory
_parsed: ContextVar[dict[bytes, Element] | None] = ContextVar("parsed", default=None)


@contextmanager
def parse_once() -> Iterator[None]:
    """Within this context, `parse_ome_xml` parses equal documents once; the returned elements must not be changed."""
    if _parsed.get() is not None:
        yield
        return
    token = _parsed.set({})
    try:
        yield
    finally:
        _parsed.reset(token)


def parse_ome_xml(text: bytes, file: Path) -> Element:
    """Parse the OME-XML of `file`; InvalidFileError if it is not XML, as in a TIFF of another program."""
    parsed = _parsed.get()
    if parsed is not None and text in parsed:
        return parsed[text]
    try:
        root = parse_xml(text, file)
    except InvalidFileError as error:
        excerpt = repr(text[:40].decode("latin-1")) + ("..." if len(text) > 40 else "")
        raise InvalidFileError(
            f"{file} is not an OME-TIFF: its ImageDescription {excerpt} is not OME-XML ({error})"
        ) from None
    if parsed is not None:
        if len(parsed) >= _MAX_PARSED:
            del parsed[next(iter(parsed))]
        parsed[text] = root
    return root


def reject_doctype(text: bytes, file: Path) -> bytes:
    """Return `text`; InvalidFileError if it has a DOCTYPE or entity declarations, which are never expanded."""
    if b"<!DOCTYPE" in text[:4096] or b"<!ENTITY" in text:
        raise InvalidFileError(
            f"{file}: refusing OME-XML with a DOCTYPE or ENTITY declaration. Remove the declaration."
        )
    return text


def image_elements(xml: Element, file: Path) -> list[tuple[Element, Element]]:
    """Return all Image elements with their Pixels; InvalidFileError if there are none, too many, or without Pixels."""
    images = xml.findall("{*}Image")
    check_count(len(images), f"{file}: the number of images", MAX_IMAGES)
    elements = [
        (image, pixels) for image in images if (pixels := image.find("{*}Pixels")) is not None
    ]
    if not images or len(elements) < len(images):
        raise InvalidFileError(
            f"{file}: its OME-XML does not contain an Image element, or one without a Pixels element."
        )
    return elements
