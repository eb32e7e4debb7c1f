"""What is known of the microscope, out of the summary that pymmcore-plus makes at the start of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers_pymmcore.frame_metadata import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Camera", "Microscope", "Objective"]

_TURRET = re.compile(r"objective|nosepiece|turret|revolver", re.I)
_MAGNIFICATION = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?x\b", re.I)
_APERTURE = re.compile(r"(?:\bNA\s*=?\s*|/)(\d?\.\d+)|\b(\d?\.\d+)\s*NA\b", re.I)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*MHz", re.I)
_MEDIA = {"oil": "Oil", "water": "Water", "glyc": "Glycerol", "silicon": "Other", "air": "Air"}


@dataclass(frozen=True)
class Camera:
    """One camera, as it is set.

    Attributes
    ----------
    label
        Its name in the configuration.
    model, adapter, library
        What it calls itself, its device adapter, and the library that this comes from.
    shape
        (y, x) of its frames, or (y, x, 3) where it sees colours; None where it was not asked.
    dtype
        Of a pixel.
    bits
        Significant bits of a pixel.
    roi
        (x, y, width, height) where it does not show the whole chip.
    binning, gain, offset
        As set; None where it has no such property.
    readout, readout_mhz
        What it says of its readout (mode, rate, time) as text, and the rate.
    pixel_size_um
        Where it differs from that of the microscope.
    """

    label: str
    model: str = ""
    adapter: str = ""
    library: str = ""
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    bits: int | None = None
    roi: tuple[int, ...] | None = None
    binning: int | None = None
    gain: float | None = None
    offset: float | None = None
    readout: str = ""
    readout_mhz: float | None = None
    pixel_size_um: float | None = None


@dataclass(frozen=True)
class Objective:
    """The objective in the light path; what its label does not tell is None."""

    label: str
    turret: str
    magnification: float | None = None
    aperture: float | None = None
    immersion: str | None = None


@dataclass(frozen=True)
class Microscope:
    """What is known before the first frame.

    Attributes
    ----------
    cameras
        The cameras that deliver frames, in the order of their channels: one, unless the selected one is an
        adapter of several.
    others
        The other cameras of the configuration, by label.
    camera_of_channel
        Label of the camera that a preset (group, name) selects, where it selects one.
    selected
        Label of the selected camera.
    pixel_size_um
        0.0 where the microscope is not calibrated.
    affine
        From camera pixels to stage micrometers: six numbers, None for the identity.
    began
        When the summary was made.
    software
        Names and versions.
    summary
        All that pymmcore-plus said.
    """

    cameras: tuple[Camera, ...]
    others: Mapping[str, Camera] = field(default_factory=dict)
    camera_of_channel: Mapping[tuple[str, str], str] = field(default_factory=dict)
    selected: str = ""
    pixel_size_um: float = 0.0
    affine: tuple[float, ...] | None = None
    magnification_factor: float = 1.0
    objective: Objective | None = None
    began: datetime | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Microscope:
        """Read a ``SummaryMetaV1``; what it lacks stays unknown."""
        infos: Sequence[Mapping[str, Any]] = summary.get("image_infos") or ()
        devices = {d.get("label", ""): d for d in summary.get("devices") or ()}
        first = infos[0] if infos else {}
        selected = str(first.get("camera_label", ""))
        by_label = {str(i.get("camera_label", "")): i for i in infos}
        labels = _physical(first, devices.get(selected, {}))
        # The adapter of several cameras knows the frames of all of them.
        size = number(first.get("pixel_size_um")) or 0.0
        cameras = tuple(
            _camera(name, {**first, **by_label.get(name, {})}, devices, size) for name in labels
        )
        others = {
            name: _camera(name, info, devices, size)
            for name, info in by_label.items()
            if name not in labels and name != selected
        }
        affine = first.get("pixel_size_affine")
        system = summary.get("system_info") or {}
        return cls(
            cameras=cameras,
            others=others,
            camera_of_channel=_selections(summary.get("config_groups") or ()),
            selected=selected,
            pixel_size_um=size,
            affine=tuple(float(v) for v in affine) if affine else None,
            magnification_factor=number(first.get("magnification_factor")) or 1.0,
            objective=_objective(devices.values()),
            began=_moment(summary.get("datetime")),
            software=_software(system),
            summary=summary,
        )


def _physical(info: Mapping[str, Any], device: Mapping[str, Any]) -> list[str]:
    """Return the labels of the cameras behind the selected one, in the order of their channels."""
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


def _selections(groups: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Return which presets (group, name) select a camera, and which."""
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
) -> Camera:
    own_size = number(info.get("pixel_size_um")) or pixel_size_um
    device = devices.get(label, {})
    properties = _properties(device)
    bits = re.search(
        r"\d+", str(getattr(info.get("pixel_format"), "value", info.get("pixel_format")))
    )
    readout = ", ".join(f"{key} {value}" for key, value in properties.items() if "Readout" in key)
    rate = _RATE.search(readout)
    shape = info.get("plane_shape") or (info.get("height"), info.get("width"))
    roi = info.get("roi")
    return Camera(
        label=label,
        model=properties.get("CameraName") or str(device.get("description", "")),
        adapter=str(device.get("name", "")),
        library=str(device.get("library", "")),
        shape=tuple(int(n or 0) for n in shape) if all(shape) else None,
        dtype=_dtype(info.get("dtype"), int(bits[0]) if bits else 16),
        bits=int(bits[0]) if bits else None,
        roi=tuple(int(n) for n in roi) if roi else None,
        binning=_whole(properties.get("Binning")),
        gain=number(properties.get("Gain")),
        offset=number(properties.get("Offset")),
        readout=readout,
        readout_mhz=float(rate[1]) if rate else None,
        pixel_size_um=None if own_size == pixel_size_um else own_size,
    )


def _whole(text: str | None) -> int | None:
    """Return a binning: ``"2"`` or ``"2x2"``."""
    digits = re.match(r"\d+", text or "")
    return int(digits[0]) if digits else None


def _dtype(name: object, bits: int) -> str:
    """Return the dtype that is told; for one that does not exist (``uint0``), that of the pixel format."""
    try:
        return str(np.dtype(str(name)).name)
    except TypeError:
        return f"uint{8 if bits <= 8 else 16 if bits <= 16 else 32}"


def _objective(devices: Any) -> Objective | None:
    """Return what the objective turret says; None where no device looks like one."""
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
        medium = next((m for word, m in _MEDIA.items() if word in chosen.lower()), None)
        return Objective(
            label=chosen,
            turret=label,
            magnification=float(times[1]) if times else None,
            aperture=float(aperture[1] or aperture[2]) if aperture else None,
            immersion=medium,
        )
    return None


def _software(system: Mapping[str, Any]) -> dict[str, str]:
    """Return names and versions, from the core to the devices."""
    backend = str(system.get("pymmcore_backend") or "pymmcore")
    told = {
        "pymmcore-plus": system.get("pymmcore_plus_version"),
        backend: system.get("pymmcore_version"),
        "MMCore": str(system.get("mmcore_version") or "").removeprefix("MMCore version "),
    }
    interfaces = re.findall(
        r"(Device|Module) API version (\d+)", str(system.get("device_api_version"))
    )
    told |= {f"{kind.lower()} API": number for kind, number in interfaces}
    return {name: str(version) for name, version in told.items() if version}


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
