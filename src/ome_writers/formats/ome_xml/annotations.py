"""Key-value pairs that the schema has no element for: MapAnnotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ome_writers.formats.frame_metadata import to_strict_json
from ome_writers.formats.ome_xml.text import attribute, content

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FRAME_NAMESPACE", "map_annotation", "value_of"]

FRAME_NAMESPACE = "ome_writers/frame_metadata"
"""Namespace of the annotations that hold a frame's own keys."""


def map_annotation(identifier: str, namespace: str, pairs: Mapping[str, Any]) -> str:
    """Return a MapAnnotation: one entry a key, its value as JSON."""
    entries = "".join(
        f"<M K={attribute(key)}>{content(_escaped(to_strict_json(value).decode()))}</M>"
        for key, value in pairs.items()
    )
    return (
        f'<MapAnnotation ID="{identifier}" Namespace={attribute(namespace)}>'
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
