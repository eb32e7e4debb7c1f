"""Checks and merges the attributes that a client passes to `update_metadata`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ome_writers.errors import short_repr
from ome_writers.formats.dataset_metadata import RESERVED_NAMESPACES
from ome_writers.formats.strict_json import to_plain_json

Attributes = dict[str, Any]

# keys of ``ome_writers`` that clients cannot change
_RESERVED_KEYS = (
    "id",
    "version",
    "status",
    "frames",
    "started",
    "updated",
    "extents",
    "settings",
    "attempts",
)


def plain_groups(metadata: Any, known: Collection[str]) -> dict[str, Attributes]:
    """Return the attributes of each group as plain JSON, by path; ``"."`` is the root.

    A value in several groups, as the summary that pymmcore-plus 0.18 attaches to every image, is converted once.

    Raises KeyError if a path is not one of `known`; TypeError if `metadata` is not a dict of paths to dicts;
    MetadataError if a value cannot be represented in JSON.
    """
    if not isinstance(metadata, dict) or not all(isinstance(v, dict) for v in metadata.values()):
        raise TypeError(
            "Expected dict[str, dict]: group path to attributes, as get_metadata() returns it, got "
            f"{short_repr(metadata)}."
        )
    groups = {}
    converted: dict[tuple[str, int], Attributes] = {}  # by key and id of the value
    for path, attributes in metadata.items():
        key = "" if path == "." else path
        if key not in known:
            paths = ", ".join(repr(p or ".") for p in list(known)[:20])
            raise KeyError(f"Unknown path: {path!r}. This dataset has {paths}.")
        groups[key] = _plain_attributes(attributes, converted)
    return groups


def _plain_attributes(
    attributes: Attributes, converted: dict[tuple[str, int], Attributes]
) -> Attributes:
    namespaces = {
        name: value
        for name, value in attributes.items()
        if name not in RESERVED_NAMESPACES and isinstance(value, dict)
    }
    plain = to_plain_json({**attributes, **{name: {} for name in namespaces}})
    for name, values in namespaces.items():
        for key, value in values.items():
            if (key, id(value)) not in converted:
                converted[key, id(value)] = to_plain_json({key: value})
            plain[name] |= converted[key, id(value)]
    return plain


def keep_reserved_keys(attributes: Attributes, before: Attributes) -> None:
    """Copy the reserved keys of ``ome_writers`` from the attributes `before` to those that replace them."""
    own = before.get("ome_writers")
    if own is not None:
        edited = attributes.get("ome_writers")
        result = {**own, **edited} if isinstance(edited, dict) else dict(own)
        result.update({key: own[key] for key in _RESERVED_KEYS if key in own})
        attributes["ome_writers"] = result


def merge_client_edits(current: Any, before: Attributes, fresh: Attributes) -> Attributes:
    """Return the generated ``ome`` attributes `fresh`, with what a client changed since they were `before`."""
    if current == before or not isinstance(current, dict):
        return fresh
    result = {**fresh, **current}
    omero = current.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if isinstance(channels, list):
        generated, known = fresh["omero"]["channels"], before["omero"]["channels"]
        for channel, old, new in zip(channels, known, generated, strict=False):
            if isinstance(channel, dict) and channel.get("window") == old["window"]:
                channel["window"] = new["window"]
        if len(channels) == len(known):  # a resumed image may have more than when it was closed
            channels = [*channels, *generated[len(channels) :]]
        result["omero"] = {**current["omero"], "channels": channels[: len(generated)]}
    return result
