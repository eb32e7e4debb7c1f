"""Parse the summary metadata that pymmcore-plus emits at the start of a run (``SummaryMetaV1``)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

from ome_writers import Detector, Instrument, Objective
from ome_writers_pymmcore.frame_metadata import parse_number

_TURRET = re.compile(r"objective|nosepiece|turret|revolver", re.I)
_MAGNIFICATION = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?x\b", re.I)
_APERTURE = re.compile(r"(?:\bNA\s*=?\s*|/)(\d?\.\d+)|\b(\d?\.\d+)\s*NA\b", re.I)
_READOUT_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*MHz", re.I)
_IMMERSION_MEDIA: dict[str, Literal["Oil", "Water", "Glycerol", "Other", "Air"]] = {
    "oil": "Oil",
    "water": "Water",
    "glyc": "Glycerol",
    "silicon": "Other",
    "air": "Air",
}


@dataclass(frozen=True)
class CameraDevice:
    """A camera, and the format of its frames.

    Attributes
    ----------
    label
        Device label in the configuration.
    detector
        Model and settings.
    shape
        (y, x) of a frame, or (y, x, 3) for RGB; None if unknown.
    dtype
        Pixel type, as a numpy name.
    pixel_size_um
        Pixel size in micrometers if it differs from that of the microscope.
    """

    label: str
    detector: Detector
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    pixel_size_um: float | None = None


@dataclass(frozen=True)
class Microscope:
    """Microscope state before the first frame.

    Attributes
    ----------
    cameras
        The cameras that deliver frames, in channel order: several if the selected device is a multi-camera device.
    others
        The other cameras of the configuration, by label.
    camera_of_channel
        Preset (group, name) to the label of the camera that it selects.
    selected
        Label of the selected camera.
    pixel_size_um
        Pixel size in micrometers; 0.0 if the microscope is not calibrated.
    instrument
        Model and settings of the cameras, objective, pixel size affine and versions of the software.
    began
        Time of the summary.
    summary
        The complete summary metadata.
    """

    cameras: tuple[CameraDevice, ...]
    others: Mapping[str, CameraDevice] = field(default_factory=dict)
    camera_of_channel: Mapping[tuple[str, str], str] = field(default_factory=dict)
    selected: str = ""
    pixel_size_um: float = 0.0
    instrument: Instrument = field(default_factory=Instrument)
    began: datetime | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Microscope:
        """Parse a ``SummaryMetaV1``; all of its keys are optional."""
        infos: Sequence[Mapping[str, Any]] = summary.get("image_infos") or ()
        devices = {d.get("label", ""): d for d in summary.get("devices") or ()}
        first = infos[0] if infos else {}
        selected = str(first.get("camera_label", ""))
        by_label = {str(i.get("camera_label", "")): i for i in infos}
        labels = _physical_cameras(first, devices.get(selected, {}))
        # Physical cameras without an entry of their own have the frame format of the multi-camera device.
        size = parse_number(first.get("pixel_size_um")) or 0.0
        cameras = tuple(
            _camera(name, {**first, **by_label.get(name, {})}, devices, size) for name in labels
        )
        others = {
            name: _camera(name, info, devices, size)
            for name, info in by_label.items()
            if name not in labels and name != selected
        }
        affine = first.get("pixel_size_affine")
        magnification_factor = parse_number(first.get("magnification_factor")) or 1.0
        instrument = Instrument(
            model="Micro-Manager",
            software=_software(summary.get("system_info") or {}),
            detectors=tuple(camera.detector for camera in cameras),
            objective=_objective(devices.values(), magnification_factor),
            pixel_size_affine=tuple(float(v) for v in affine) if affine else None,
        )
        return cls(
            cameras=cameras,
            others=others,
            camera_of_channel=_camera_presets(summary.get("config_groups") or ()),
            selected=selected,
            pixel_size_um=size,
            instrument=instrument,
            began=_parse_datetime(summary.get("datetime")),
            summary=summary,
        )


def _physical_cameras(info: Mapping[str, Any], device: Mapping[str, Any]) -> list[str]:
    """Return the labels of a multi-camera device's cameras in channel order, or the label of a single camera."""
    count = int(info.get("num_camera_adapter_channels", 1) or 1)
    label = str(info.get("camera_label", ""))
    if count == 1:
        return [label]
    properties = _properties(device)
    named = [
        properties[key]
        for key in sorted(properties)
        if key.startswith("Physical Camera") and properties[key] not in ("", "Undefined")
    ]
    return named if len(named) == count else [f"{label}-{i + 1}" for i in range(count)]


def _camera_presets(groups: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Map presets (group, name) that select a camera to its label."""
    return {
        (str(group.get("name")), str(preset.get("name"))): str(setting.get("val"))
        for group in groups
        for preset in group.get("presets") or ()
        for setting in preset.get("settings") or ()
        if (setting.get("dev"), setting.get("prop")) == ("Core", "Camera")
    }


def _properties(device: Mapping[str, Any]) -> dict[str, str]:
    found = device.get("properties") or ()
    return {str(p.get("name")): str(p["value"]) for p in found if p.get("value") is not None}


def _camera(
    label: str,
    info: Mapping[str, Any],
    devices: Mapping[str, Mapping[str, Any]],
    pixel_size_um: float,
) -> CameraDevice:
    own_size = parse_number(info.get("pixel_size_um")) or pixel_size_um
    device = devices.get(label, {})
    properties = _properties(device)
    bits = re.search(
        r"\d+", str(getattr(info.get("pixel_format"), "value", info.get("pixel_format")))
    )
    readout = ", ".join(f"{key} {value}" for key, value in properties.items() if "Readout" in key)
    rate = _READOUT_RATE.search(readout)
    shape = info.get("plane_shape") or (info.get("height"), info.get("width"))
    x, y, width, height = info.get("roi") or (0, 0, 0, 0)
    source = (str(device.get(key) or "") for key in ("library", "name"))
    detector = Detector(
        name=label or "Camera",
        model=properties.get("CameraName") or str(device.get("description", "")),
        manufacturer="/".join(filter(None, source)),
        significant_bits=(int(bits[0]) or None) if bits else None,
        roi=(int(x), int(y), int(width), int(height)) if info.get("roi") else None,
        binning=_binning(properties.get("Binning")),
        gain=_finite(properties.get("Gain")),
        offset=_finite(properties.get("Offset")),
        readout=readout,
        readout_mhz=(float(rate[1]) or None) if rate else None,
    )
    return CameraDevice(
        label=label,
        detector=detector,
        shape=tuple(int(n or 0) for n in shape) if all(shape) else None,
        dtype=_dtype(info.get("dtype"), int(bits[0]) if bits else 16),
        pixel_size_um=None if own_size == pixel_size_um else own_size,
    )


def _binning(text: str | None) -> int | None:
    """Parse ``"2"`` or ``"2x2"``."""
    digits = re.match(r"\d+", text or "")
    return (int(digits[0]) or None) if digits else None


def _finite(text: str | None) -> float | None:
    number = parse_number(text)
    return number if number is not None and math.isfinite(number) else None


def _dtype(name: object, bits: int) -> str:
    """Return the reported dtype; if it is invalid (``uint0``), the dtype of the pixel format."""
    with suppress(TypeError):
        if name != "uint0":  # an alias of uint64 in numpy 1.26
            return str(np.dtype(str(name)).name)
    return f"uint{8 if bits <= 8 else 16 if bits <= 16 else 32}"


def _objective(devices: Any, magnification_factor: float) -> Objective | None:
    """Parse the label of the objective turret; None if no device looks like one."""
    for device in devices:
        if not str(device.get("type", "")).startswith("State"):
            continue
        label, name = str(device.get("label", "")), str(device.get("name", ""))
        if not (_TURRET.search(label) or _TURRET.search(name)):
            continue
        chosen = _properties(device).get("Label", "")
        if not chosen:
            return None
        times = _MAGNIFICATION.search(chosen)
        aperture = _APERTURE.search(chosen)
        words = [word for word in _IMMERSION_MEDIA if word in chosen.lower()]
        medium = _IMMERSION_MEDIA[words[0]] if words else None
        magnification = (float(times[1]) or None) if times else None
        calibrated = magnification and magnification * magnification_factor
        return Objective(
            model=chosen,
            magnification=magnification,
            calibrated_magnification=calibrated if calibrated != magnification else None,
            lens_na=(float(aperture[1] or aperture[2]) or None) if aperture else None,
            immersion=medium,
        )
    return None


def _software(system: Mapping[str, Any]) -> dict[str, str]:
    backend = str(system.get("pymmcore_backend") or "pymmcore")
    versions = {
        "pymmcore-plus": system.get("pymmcore_plus_version"),
        backend: system.get("pymmcore_version"),
        "MMCore": str(system.get("mmcore_version") or "").removeprefix("MMCore version "),
    }
    interfaces = re.findall(
        r"(Device|Module) API version (\d+)", str(system.get("device_api_version"))
    )
    versions |= {f"{kind.lower()} API": number for kind, number in interfaces}
    return {name: str(version) for name, version in versions.items() if version}


def _parse_datetime(text: object) -> datetime | None:
    try:
        # fromisoformat does not accept "Z" before Python 3.11
        return datetime.fromisoformat(re.sub("Z$", "+00:00", str(text)))
    except ValueError:
        return None
