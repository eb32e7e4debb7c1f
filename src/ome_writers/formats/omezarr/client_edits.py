"""Merges what a client changed with `update_metadata` into generated attributes."""

from __future__ import annotations

from typing import Any

Attributes = dict[str, Any]

# keys of ``ome_writers`` that clients cannot change
_RESERVED_KEYS = ("id", "version", "status", "frames", "started", "updated", "extents", "settings")


def keep_reserved_keys(attributes: Attributes, before: Attributes) -> None:
    """Copy the reserved keys of ``ome_writers`` from the attributes `before` to those that replace them."""
    ours = before.get("ome_writers")
    if ours is not None:
        theirs = attributes.get("ome_writers")
        result = {**ours, **theirs} if isinstance(theirs, dict) else dict(ours)
        result.update({key: ours[key] for key in _RESERVED_KEYS if key in ours})
        attributes["ome_writers"] = result


def merge_client_edits(current: Any, before: Attributes, fresh: Attributes) -> Attributes:
    """Return the generated ``ome`` attributes `fresh`, with what a client changed since they were `before`."""
    if current == before or not isinstance(current, dict):
        return fresh
    result = {**fresh, **current}
    omero = current.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if isinstance(channels, list):
        generated = fresh["omero"]["channels"]
        for channel, old, new in zip(
            channels, before["omero"]["channels"], generated, strict=False
        ):
            if isinstance(channel, dict) and channel.get("window") == old["window"]:
                channel["window"] = new["window"]
        result["omero"] = {**current["omero"], "channels": channels[: len(generated)]}
    return result
