"""What the schema has no element for: pairs in a MapAnnotation, and this library's facts in a CommentAnnotation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ome_writers.formats.dataset_metadata import Patch
from ome_writers.formats.ome_xml.text import escape_text, quote_attribute
from ome_writers.formats.strict_json import to_strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

__all__ = [
    "FRAME_NAMESPACE",
    "OWN_NAMESPACE",
    "acquisition_annotation",
    "frames_written_in",
    "map_annotation",
    "namespace_uri",
    "parse_acquisition_annotation",
    "parse_value",
    "read_acquisition_annotation",
    "render_progress",
    "reserve_progress",
    "strip_progress",
]

OWN_NAMESPACE = "ome_writers"
"""Namespace of the annotation that holds what this library records of the acquisition."""

FRAME_NAMESPACE = "ome_writers/frame_metadata"
"""Namespace of the annotations that hold a frame's own keys."""
# Of what the schema takes for a namespace (RFC 3986, with all of Unicode), nearly all.
_URI = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:(?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?![^/?#])|(?!/))|(?! *(?:[^/?#]*:|//)))"
    r"(?:[^%#\[\]]|%[0-9A-Fa-f]{2})*(?:#[^%#\[\]]*)?"
)
# What XML cannot hold, or reads back as another character (a carriage return as a line feed).
_NEEDS_ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_PROGRESS = re.compile(rb'"frames_written":(\d+),"updated":"[0-9TZ:.-]*" *')
_PROGRESS_WIDTH = 80  # the largest 64-bit number, and a timestamp of 24 characters
_NOT_PLAIN = re.compile("[^A-Za-z0-9._~ /-]|(?<=/)/|^/")


def namespace_uri(name: str) -> str:
    """Return a name as a namespace: one that is no URI has what a URI cannot hold escaped, as "%25" for "%"."""
    if _URI.fullmatch(name):
        return name
    return _NOT_PLAIN.sub(lambda one: "".join(f"%{byte:02X}" for byte in one[0].encode()), name)


def map_annotation(identifier: str, namespace: str, pairs: Mapping[str, Any]) -> str:
    """Return a MapAnnotation: one entry per key, its value as `parse_value` reads it."""
    entries = "".join(
        f"<M K={quote_attribute(key)}>{escape_text(_text_of(value))}</M>"
        for key, value in pairs.items()
    )
    return (
        f'<MapAnnotation ID="{identifier}" Namespace={quote_attribute(namespace_uri(namespace))}>'
        f"<Value>{entries}</Value></MapAnnotation>"
    )


def acquisition_annotation(
    facts: Mapping[str, Any], identifier: str = "Annotation:ome_writers"
) -> str:
    """Return the CommentAnnotation of what this library records of the acquisition: one JSON object.

    It is not a MapAnnotation, so that the MapAnnotations of a file are the user's and the frames' only.
    """
    json = escape_text(_escaped(to_strict_json(facts).decode()))
    return (
        f'<CommentAnnotation ID="{identifier}" Namespace="{OWN_NAMESPACE}">'
        f"<Value>{json}</Value></CommentAnnotation>"
    )


def render_progress(frames: int, timestamp: str) -> bytes:
    """Return the members of the acquisition's facts that change with each flush, always of the same length."""
    text = f'"frames_written":{frames},"updated":"{timestamp}"'
    return text.ljust(_PROGRESS_WIDTH).encode()


def reserve_progress(document: bytes, key: str) -> tuple[bytes, Patch | None]:
    """Return a document with `padded_progress` in it, and where that is; None if it has no such facts."""
    begin = document.find(f'Namespace="{OWN_NAMESPACE}"'.encode())
    found = _PROGRESS.search(document, begin) if begin >= 0 else None
    if found is None:
        return document, None
    padded = found[0].ljust(_PROGRESS_WIDTH)
    text = document[: found.start()] + padded + document[found.end() :]
    return text, Patch(key, found.start(), padded, padded)


def frames_written_in(document: bytes) -> int | None:
    """Return how many frames a document counts that is being written; None if it does not count any."""
    found = _PROGRESS.search(document)
    return int(found[1]) if found else None


def strip_progress(document: bytes) -> bytes:
    """Return a document without what changes with each flush."""
    return _PROGRESS.sub(b"", document)


def read_acquisition_annotation(xml: Element) -> dict[str, Any]:
    """Return what this library recorded of the acquisition in an OME-XML; empty if it did not write it."""
    annotations = xml.iterfind("{*}StructuredAnnotations/*")
    own = (a for a in annotations if a.get("Namespace") == OWN_NAMESPACE)
    return next(map(parse_acquisition_annotation, own), {})


def parse_acquisition_annotation(annotation: Element) -> dict[str, Any]:
    """Return the facts in this library's annotation; pre-releases of 1.0 wrote them as a MapAnnotation."""
    pairs = annotation.findall("{*}Value/{*}M")
    if pairs:
        return {pair.get("K", ""): parse_value(pair.text or "") for pair in pairs}
    facts = parse_value(annotation.findtext("{*}Value") or "")
    return facts if isinstance(facts, dict) else {}


def parse_value(text: str) -> Any:
    """Return the value of an entry: parsed where it is JSON, otherwise the text itself."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _text_of(value: Any) -> str:
    """Return the text of an entry: a string as it is where `parse_value` returns it unchanged, otherwise JSON."""
    if isinstance(value, str) and not _NEEDS_ESCAPE.search(value) and parse_value(value) == value:
        return value
    return _escaped(to_strict_json(value).decode())


def _escaped(json: str) -> str:
    """Return JSON without the two characters that XML has no form for, and JSON an escape."""
    return json.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
