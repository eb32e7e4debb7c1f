"""Select the cameras that deliver a run's frames, and add the camera axis to the settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ome_writers import Camera, Channel, Dimension, Schedule, SettingsError

if TYPE_CHECKING:
    from ome_writers_pymmcore.microscope import CameraDevice, Microscope

CAMERA_AXIS = "cam"
"""Axis name, in event indices and settings, of the cameras that each deliver a frame per event."""


def select_cameras(
    microscope: Microscope, channels: Sequence[tuple[str, str]], labels: Sequence[str] | None
) -> tuple[Microscope, bool]:
    """Return the microscope with the cameras that deliver frames, and whether the channel determines the camera.

    The cameras are, in this order of precedence: `labels`, the cameras that the presets of the sequence's channels
    select, the selected camera (or the physical cameras of a multi-camera device). `channels` are the presets, group
    and name, of the sequence's channels.
    """
    known = {camera.label: camera for camera in microscope.cameras} | dict(microscope.others)
    first = microscope.cameras[0].label
    single = len(microscope.cameras) == 1
    by_channel = [microscope.camera_of_channel.get(c, first) for c in channels if single]
    camera_per_channel = labels is None and any(label != first for label in by_channel)
    selected = dict.fromkeys(by_channel if camera_per_channel else labels or [])
    if not selected:
        return microscope, False
    unknown = [label for label in selected if label not in known]
    if unknown:
        raise SettingsError(
            f"cameras: the configuration does not have {unknown}. Choose from {list(known)}."
        )
    cameras = tuple(known[label] for label in selected)
    others = {label: camera for label, camera in known.items() if label not in selected}
    detectors = tuple(camera.detector for camera in cameras)
    instrument = microscope.instrument.model_copy(update={"detectors": detectors})
    selection = dataclasses.replace(
        microscope, cameras=cameras, others=others, instrument=instrument
    )
    return selection, camera_per_channel


def add_camera_axis(
    settings: Mapping[str, Any], microscope: Microscope, *, camera_per_channel: bool
) -> dict[str, Any]:
    """Extend settings for the first camera (dimensions, schedule) to all cameras of a microscope.

    With `camera_per_channel`, the channel of an event determines its camera; otherwise each event has one frame per
    camera.
    """
    cameras, camera_of_channel = microscope.cameras, microscope.camera_of_channel
    dimensions = [
        set_channel_cameras(dim, cameras, camera_of_channel) for dim in settings["dimensions"]
    ]
    has_schedule = camera_per_channel and any(d.type == "channel" and d.coords for d in dimensions)
    same_format = len({(c.shape, c.dtype, c.pixel_size_um) for c in cameras}) == 1
    if len(cameras) == 1 or (has_schedule and same_format):
        return {**settings, "dimensions": dimensions}
    labels = [camera.label for camera in cameras]
    # Cameras of different frame format cannot share an image: with these coordinates, each has its own.
    coords = labels if same_format else [_coordinate(camera) for camera in cameras]
    axis = Dimension(name=CAMERA_AXIS, type="other", coords=coords)
    extended = {**settings, "dimensions": [*dimensions[:-2], axis, *dimensions[-2:]]}
    if has_schedule:
        channel = next(d for d in dimensions if d.type == "channel")
        used = [getattr(c, "camera", None) for c in channel.coords or ()]
        extended["schedule"] = Schedule.with_cameras(
            dimensions,
            settings.get("schedule"),
            [labels.index(camera) if camera else 0 for camera in used],
            CAMERA_AXIS,
        )
    return extended


def _coordinate(camera: CameraDevice) -> Camera:
    height, width, *samples = camera.shape or (None, None)
    return Camera(
        name=camera.label,
        height=height,
        width=width,
        dtype=camera.dtype,
        rgb=bool(samples),
        pixel_size=camera.pixel_size_um,
    )


def set_channel_cameras(
    dim: Dimension,
    cameras: Sequence[CameraDevice],
    camera_of_channel: Mapping[tuple[str, str], str],
) -> Dimension:
    """Fill in `Channel.camera` where a single camera records the channel."""
    labels = [camera.label for camera in cameras]
    coords: list[Any] = []
    for coord in dim.coords or ():
        if isinstance(coord, Channel) and coord.camera is None:
            camera = camera_of_channel.get((coord.group or "", coord.name))
            camera = camera if camera in labels else labels[0] if len(labels) == 1 else None
            coord = coord.model_copy(update={"camera": camera})
        coords.append(coord)
    return dim.model_copy(update={"coords": coords}) if coords else dim
