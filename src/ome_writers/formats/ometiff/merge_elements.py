"""Three-way merge of XML elements: a document that a user edited, and the generated one before and after a change."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    Key = tuple[str, str | None, int]

# Elements that are kept up to date by other means.
_EXCLUDED = frozenset({"Plane", "TiffData", "StructuredAnnotations"})


def merge_elements(edited: Element, before: Element, after: Element) -> None:
    """Apply the differences between `before` and `after` to `edited`, except where it differs from `before`."""
    for name in {*before.keys(), *after.keys()}:
        if name != "UUID" and edited.get(name) == before.get(name):
            value = after.get(name)
            if value is not None:
                edited.set(name, value)
            else:
                del edited.attrib[name]
    if (edited.text or "").strip() == (before.text or "").strip():
        edited.text = after.text
    mine, old, new = _children(edited), _children(before), _children(after)
    for key in old.keys() - new.keys():
        if key in mine:
            edited.remove(mine[key])
    position = 0
    for key, element in new.items():
        if key in mine and key in old:
            merge_elements(mine[key], old[key], element)
        elif key not in mine and key not in old:
            edited.insert(position, copy.deepcopy(element))
        if key in mine:
            position = list(edited).index(mine[key]) + 1
        elif key not in old:
            position += 1


def _children(parent: Element) -> dict[Key, Element]:
    """Return the children by tag, ID, and number among the children of the same tag without an ID."""
    counts: dict[str, int] = {}
    found: dict[Key, Element] = {}
    for child in parent:
        if child.tag in _EXCLUDED:
            continue
        identifier = child.get("ID")
        number = 0
        if identifier is None:
            number = counts[child.tag] = counts.get(child.tag, -1) + 1
        found[child.tag, identifier, number] = child
    return found
