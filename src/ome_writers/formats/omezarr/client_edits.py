"""What clients have changed in documents stays, when the library brings these up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Attributes = dict[str, Any]

__all__ = ["keep_own", "merged"]

_OURS = ("id", "version", "status", "frames", "updated", "extents", "settings")
"""Keys of ``ome_writers`` that clients cannot change."""


def keep_own(attributes: Attributes, before: Attributes) -> None:
    """Keep what ``ome_writers`` said `before` in attributes that replace it."""
    ours = before.get("ome_writers")
    if ours is not None:
        theirs = attributes.get("ome_writers")
        kept = {**ours, **theirs} if isinstance(theirs, dict) else dict(ours)
        kept.update({key: ours[key] for key in _OURS if key in ours})
        attributes["ome_writers"] = kept


def merged(current: Any, before: Attributes, fresh: Attributes) -> Attributes:
    """Return what closing found out, `fresh`, with what a client has changed since it was `before`."""
    if current == before or not isinstance(current, dict):
        return fresh
    result = {**fresh, **current}
    omero = current.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if isinstance(channels, list):
        found = fresh["omero"]["channels"]
        for channel, old, new in zip(channels, before["omero"]["channels"], found, strict=False):
            if isinstance(channel, dict) and channel.get("window") == old["window"]:
                channel["window"] = new["window"]
        result["omero"] = {**current["omero"], "channels": channels[: len(found)]}
    return result
