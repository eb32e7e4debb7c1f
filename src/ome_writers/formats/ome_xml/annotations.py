"""Key-value pairs that the schema has no element for: MapAnnotation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ome_writers.formats.ome_xml.text import attribute, content
from ome_writers.formats.strict_json import to_strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FRAME_NAMESPACE", "map_annotation", "uri", "value_of"]

FRAME_NAMESPACE = "ome_writers/frame_metadata"
"""Namespace of the annotations that hold a frame's own keys."""
# Of what the schema takes for a namespace (RFC 3986, with all of Unicode), nearly all.
_URI = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:(?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?![^/?#])|(?!/))|(?! *(?:[^/?#]*:|//)))"
    r"(?:[^%#\[\]]|%[0-9A-Fa-f]{2})*(?:#[^%#\[\]]*)?"
)
# What XML cannot hold, or reads back as another character (a carriage return as a line feed).
_NEEDS_ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_NOT_PLAIN = re.compile("[^A-Za-z0-9._~ /-]|(?<=/)/|^/")


def uri(name: str) -> str:
    """Return a name as a namespace: one that is no URI has what a URI cannot hold escaped, as "%25" for "%"."""
    if _URI.fullmatch(name):
        return name
    return _NOT_PLAIN.sub(lambda one: "".join(f"%{byte:02X}" for byte in one[0].encode()), name)


def map_annotation(identifier: str, namespace: str, pairs: Mapping[str, Any]) -> str:
    """Return a MapAnnotation: one entry per key, its value as `value_of` reads it."""
    entries = "".join(
        f"<M K={attribute(key)}>{content(_text_of(value))}</M>" for key, value in pairs.items()
    )
    return (
        f'<MapAnnotation ID="{identifier}" Namespace={attribute(uri(namespace))}>'
        f"<Value>{entries}</Value></MapAnnotation>"
    )


def value_of(text: str) -> Any:
    """Return the value of an entry: parsed where it is JSON, otherwise the text itself."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _text_of(value: Any) -> str:
    """Return the text of an entry: a string as it is where `value_of` returns it unchanged, otherwise JSON."""
    if isinstance(value, str) and not _NEEDS_ESCAPE.search(value) and value_of(value) == value:
        return value
    return _escaped(to_strict_json(value).decode())


def _escaped(json: str) -> str:
    """Return JSON without the two characters that XML has no form for, and JSON an escape."""
    return json.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
