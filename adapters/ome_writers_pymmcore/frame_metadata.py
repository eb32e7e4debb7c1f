"""What is said of a frame: the one translation into frame metadata, wherever the frame came from.

``delta_t``, ``exposure_time`` and ``position_*`` are the words that both formats have a place for. All
else is kept under the name that its source gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import useq

__all__ = ["engine_facts", "number", "only_plain", "tag_facts"]

_KEPT = ("camera_device", "camera_metadata", "property_values", "hardware_triggered", "extra")


def engine_facts(meta: Mapping[str, Any], event: useq.MDAEvent | None) -> dict[str, Any]:
    """Translate what an acquisition engine says of a frame (``FrameMetaV1``).

    Parameters
    ----------
    meta
        The frame's metadata, as `frameReady` delivers them. No key is required.
    event
        The event that the frame was taken for. Where the stage was not asked (frames of a hardware
        sequence), its target positions count.

    Returns
    -------
    dict
        Frame metadata for `OMEStream.append`; times are seconds, positions micrometers.
    """
    facts: dict[str, Any] = {}
    for key, name in (("delta_t", "runner_time_ms"), ("exposure_time", "exposure_ms")):
        value = number(meta.get(name))
        if value is not None:
            facts[key] = value / 1000
    stage = meta.get("position") or {}
    for axis in "xyz":
        value = number(stage.get(axis))
        if value is None and event is not None:
            value = number(getattr(event, f"{axis}_pos", None))
        if value is not None:
            facts[f"position_{axis}"] = value
    for name in _KEPT:
        if meta.get(name):
            facts[name] = meta[name]
    if event is not None:
        facts["index"] = {str(axis): int(i) for axis, i in event.index.items()}
        own = {key: value for key, value in event.metadata.items() if key != "runner_t0"}
        if own:
            facts["event_metadata"] = own
    return facts


def tag_facts(tags: Mapping[str, Any], *, exposure_ms: float | None = None) -> dict[str, Any]:
    """Translate the tags of a frame that was taken straight from a camera's buffer.

    Parameters
    ----------
    tags
        What the camera and the core attached to the frame: strings, for C++ cameras; the names are the
        same for Python cameras.
    exposure_ms
        The camera's exposure, which the tags do not tell.
    """
    facts: dict[str, Any] = {}
    elapsed = number(tags.get("ElapsedTime-ms"))
    if elapsed is not None:
        facts["delta_t"] = elapsed / 1000
    if exposure_ms is not None:
        facts["exposure_time"] = exposure_ms / 1000
    if tags.get("Camera"):
        facts["camera_device"] = str(tags["Camera"])
    facts["camera_metadata"] = only_plain(tags)
    return facts


def number(value: object) -> float | None:
    """Return a number as float, also one that is written as text; None for anything else."""
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def only_plain(value: Any) -> Any:
    """Return `value` in the words of JSON; what has none is told as text, so that no frame is lost by it."""
    if isinstance(value, Enum):
        return only_plain(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): only_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [only_plain(item) for item in value]
    return str(value)
