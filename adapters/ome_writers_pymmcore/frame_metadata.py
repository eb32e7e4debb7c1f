"""Translate per-frame metadata of pymmcore-plus to the frame metadata of `OMEStream.append`.

``delta_t``, ``exposure_time`` and ``position_*`` are keys that both formats define. Everything else keeps the key of
its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import useq

_COPIED_KEYS = (
    "camera_device",
    "camera_metadata",
    "property_values",
    "hardware_triggered",
    "extra",
)


def engine_metadata(meta: Mapping[str, Any], event: useq.MDAEvent | None) -> dict[str, Any]:
    """Translate the frame metadata of an acquisition engine (``FrameMetaV1``).

    Parameters
    ----------
    meta
        The metadata that `frameReady` delivers with a frame. All keys are optional.
    event
        The event of the frame. Its target positions are used where `meta` has no stage position, as in
        hardware-triggered sequences.

    Returns
    -------
    dict
        Frame metadata for `OMEStream.append`; times in seconds, positions in micrometers.
    """
    metadata: dict[str, Any] = {}
    for key, name in (("delta_t", "runner_time_ms"), ("exposure_time", "exposure_ms")):
        value = parse_number(meta.get(name))
        if value is not None:
            metadata[key] = value / 1000
    stage = meta.get("position") or {}
    for axis in "xyz":
        value = parse_number(stage.get(axis))
        if value is None and event is not None:
            value = parse_number(getattr(event, f"{axis}_pos", None))
        if value is not None:
            metadata[f"position_{axis}"] = value
    for name in _COPIED_KEYS:
        if meta.get(name):
            metadata[name] = meta[name]
    if event is not None:
        metadata["index"] = {str(axis): int(i) for axis, i in event.index.items()}
        # pymmcore-plus adds its start time to the metadata of the user.
        own = {key: value for key, value in event.metadata.items() if key != "runner_t0"}
        if own:
            metadata["event_metadata"] = own
    return metadata


def tag_metadata(tags: Mapping[str, Any], *, exposure_ms: float | None = None) -> dict[str, Any]:
    """Translate the tags of a frame popped from the camera's buffer.

    Parameters
    ----------
    tags
        Metadata that camera and core attached to the frame. C++ cameras deliver strings.
    exposure_ms
        Exposure time of the camera, which is not among the tags.
    """
    metadata: dict[str, Any] = {}
    elapsed = parse_number(tags.get("ElapsedTime-ms"))
    if elapsed is not None:
        metadata["delta_t"] = elapsed / 1000
    if exposure_ms is not None:
        metadata["exposure_time"] = exposure_ms / 1000
    if tags.get("Camera"):
        metadata["camera_device"] = str(tags["Camera"])
    metadata["camera_metadata"] = to_json(tags)
    return metadata


def parse_number(value: object) -> float | None:
    """Convert a number, or a string that contains one, to float; None for anything else."""
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def to_json(value: Any) -> Any:
    """Convert `value` to JSON types. Unknown types become ``str(value)``: metadata must never cost a frame."""
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    return str(value)
