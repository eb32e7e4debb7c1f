"""StructuredAnnotations: user and frame metadata in MapAnnotations, the acquisition's state in a CommentAnnotation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ome_writers.formats.dataset_metadata import Patch
from ome_writers.formats.ome_xml.text import escape_text, quote_attribute
from ome_writers.formats.strict_json import to_strict_json

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

OWN_NAMESPACE = "ome_writers"
"""Namespace of the acquisition annotation: id, version, status, frame counts, ..."""

FRAME_NAMESPACE = "ome_writers/frame_metadata"
"""Namespace of the annotations with the frame metadata that Plane has no attribute for."""

# Nearly all URIs that the schema allows (RFC 3986, with all of Unicode).
_URI = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:(?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?![^/?#])|(?!/))|(?! *(?:[^/?#]*:|//)))"
    r"(?:[^%#\[\]]|%[0-9A-Fa-f]{2})*(?:#[^%#\[\]]*)?"
)
# Characters that XML forbids or normalizes (a carriage return is read as a line feed).
_NEEDS_ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_PROGRESS = re.compile(rb'"frames_written":(\d+),"updated":"[0-9TZ:.-]*" *')
# id to status of the acquisition annotation of this library, as JSON
_RUNNING = re.compile(rb'"id":"[^"]*","version":"[^"]*","status":"writing"')
_PROGRESS_BYTES = 80  # fits the largest 64-bit number and a timestamp of 24 characters
_ESCAPED_IN_PATH = re.compile("[^A-Za-z0-9._~ /-]|(?<=/)/|^/")


def namespace_uri(name: str) -> str:
    """Return `name` if it is a URI, otherwise `name` percent-encoded."""
    if _URI.fullmatch(name):
        return name
    return _ESCAPED_IN_PATH.sub(
        lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), name
    )


def map_annotation(identifier: str, namespace: str, pairs: Mapping[str, Any]) -> str:
    """Return a MapAnnotation with an entry per key; `parse_value` is the inverse for values.

    Values are JSON. Only strings of frames are stored without quotes, for the tables of viewers: programs parse every
    value of global metadata, as version 0.3 wrote it.
    """
    render = _render_frame_value if namespace == FRAME_NAMESPACE else _render_json
    entries = "".join(
        f"<M K={quote_attribute(key)}>{escape_text(render(value))}</M>"
        for key, value in pairs.items()
    )
    return (
        f'<MapAnnotation ID="{identifier}" Namespace={quote_attribute(namespace_uri(namespace))}>'
        f"<Value>{entries}</Value></MapAnnotation>"
    )


def acquisition_annotation(
    info: Mapping[str, Any], identifier: str = "Annotation:ome_writers"
) -> str:
    """Return the CommentAnnotation with `info` as a JSON object.

    Not a MapAnnotation: those of a file belong to users and frames only.
    """
    json = escape_text(_escaped(to_strict_json(info).decode()))
    return (
        f'<CommentAnnotation ID="{identifier}" Namespace="{OWN_NAMESPACE}">'
        f"<Value>{json}</Value></CommentAnnotation>"
    )


def render_progress(frames: int, timestamp: str) -> bytes:
    """Return the members of the acquisition annotation that change at each flush, padded to a constant length."""
    text = f'"frames_written":{frames},"updated":"{timestamp}"'
    return text.ljust(_PROGRESS_BYTES).encode()


def reserve_progress(document: bytes, key: str) -> tuple[bytes, Patch | None]:
    """Pad the progress in `document`, so that it can be overwritten in place.

    Returns the new document and a Patch that locates the progress; None if the document does not contain any.
    """
    begin = document.find(f'Namespace="{OWN_NAMESPACE}"'.encode())
    progress = _PROGRESS.search(document, begin) if begin >= 0 else None
    if progress is None:
        return document, None
    padded = progress[0].ljust(_PROGRESS_BYTES)
    text = document[: progress.start()] + padded + document[progress.end() :]
    return text, Patch(key, progress.start(), padded, padded)


def frames_written_in(document: bytes) -> int | None:
    """Return the number of written frames in the document of a running acquisition; None if it has none."""
    progress = _PROGRESS.search(document)
    return int(progress[1]) if progress else None


def is_same_acquisition(document: bytes, other: bytes) -> bool:
    """Return whether two documents are of one running acquisition, so that the pages of both have the same IFDs."""
    found = [_RUNNING.search(each) for each in (document, other)]
    first, second = found
    return first is not None and second is not None and first[0] == second[0]


def strip_progress(document: bytes) -> bytes:
    """Return a document without the part that changes at each flush."""
    return _PROGRESS.sub(b"", document)


def read_acquisition_annotation(xml: Element) -> dict[str, Any]:
    """Return the content of the acquisition annotation; empty if this library did not write the OME-XML."""
    for annotation in xml.iterfind("{*}StructuredAnnotations/*"):
        if annotation.get("Namespace") == OWN_NAMESPACE:
            # pre-releases of 1.0 wrote a MapAnnotation
            info = annotation_pairs(annotation) or parse_value(
                annotation.findtext("{*}Value") or ""
            )
            return info if isinstance(info, dict) else {}
    return {}


def annotation_pairs(annotation: Element) -> dict[str, Any]:
    """Return the entries of a MapAnnotation, in a document with or without namespace."""
    pairs = annotation.iterfind("{*}Value/{*}M")
    return {pair.get("K", ""): parse_value(pair.text or "") for pair in pairs}


def parse_value(text: str) -> Any:
    """Return the value of a MapAnnotation entry: parsed if it is JSON, otherwise the text itself."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _render_json(value: Any) -> str:
    return _escaped(to_strict_json(value).decode())


def _render_frame_value(value: Any) -> str:
    """Return the text of an entry: JSON, or a string itself if `parse_value` returns it unchanged."""
    if isinstance(value, str) and not _NEEDS_ESCAPE.search(value) and parse_value(value) == value:
        return value
    return _render_json(value)


def _escaped(json: str) -> str:
    """Return JSON with the two characters escaped that JSON allows and XML forbids."""
    return json.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
