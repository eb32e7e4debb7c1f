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
_NOT_PLAIN = re.compile("[^A-Za-z0-9._~ /-]|(?<=/)/|^/")


def uri(name: str) -> str:
    """Return a name as a namespace: one that is no URI has what a URI cannot hold escaped, as "%25" for "%"."""
    if _URI.fullmatch(name):
        return name
    return _NOT_PLAIN.sub(lambda one: "".join(f"%{byte:02X}" for byte in one[0].encode()), name)


def map_annotation(identifier: str, namespace: str, pairs: Mapping[str, Any]) -> str:
    """Return a MapAnnotation: one entry a key, its value as JSON."""
    entries = "".join(
        f"<M K={attribute(key)}>{content(_escaped(to_strict_json(value).decode()))}</M>"
        for key, value in pairs.items()
    )
    return (
        f'<MapAnnotation ID="{identifier}" Namespace={attribute(uri(namespace))}>'
        f"<Value>{entries}</Value></MapAnnotation>"
    )


def value_of(text: str) -> Any:
    """Return what an entry says: the value of its JSON, or the text when it is none."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _escaped(json: str) -> str:
    """Return JSON without the two characters that XML has no form for, and JSON an escape."""
    return json.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
