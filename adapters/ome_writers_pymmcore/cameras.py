"""Which cameras deliver the frames of a run, and what theirs are like."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import Camera as Coordinate
from ome_writers import Channel, Dimension, Schedule, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import useq

    from ome_writers_pymmcore.microscope import Camera, Microscope

__all__ = ["CAMERAS", "are_alike", "delivering", "with_cameras"]

CAMERAS = "cam"
"""Name of the axis along which one event has a frame for each camera."""


def delivering(
    microscope: Microscope, sequence: useq.MDASequence | None, named: Sequence[str] | None
) -> tuple[Microscope, bool]:
    """Return the microscope with those cameras that deliver the frames of a run, and whether each channel has its own.

    These are the cameras that are `named`; else those that the presets of the sequence's channels select; else the
    selected one, or those behind it.

    Raises
    ------
    SettingsError
        If the configuration has no such camera.
    """
    known = {camera.label: camera for camera in microscope.cameras} | dict(microscope.others)
    first = microscope.cameras[0].label
    channels = sequence.channels if sequence is not None and len(microscope.cameras) == 1 else ()
    own = [microscope.camera_of_channel.get((c.group, c.config), first) for c in channels]
    one_a_channel = named is None and any(label != first for label in own)
    labels = dict.fromkeys(own if one_a_channel else named or [])
    if not labels:
        return microscope, False
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise SettingsError(f"There is no camera {unknown}. The configuration has {list(known)}.")
    cameras = tuple(known[label] for label in labels)
    others = {label: camera for label, camera in known.items() if label not in labels}
    return dataclasses.replace(microscope, cameras=cameras, others=others), one_a_channel


def are_alike(cameras: Sequence[Camera]) -> bool:
    """Whether frames of all these cameras fit into one image."""
    return len({(camera.shape, camera.dtype, camera.pixel_size_um) for camera in cameras}) == 1


def with_cameras(
    found: Mapping[str, Any], microscope: Microscope, *, one_a_channel: bool
) -> dict[str, Any]:
    """Return settings of one camera (dimensions, schedule) as those of all cameras of a microscope.

    Parameters
    ----------
    found
        The settings, as `useq_to_acquisition_settings` returns them.
    microscope
        Its first camera is the one whose frames the settings describe.
    one_a_channel
        Whether the camera of an event follows from its channel; else each event has a frame of each.
    """
    cameras, own = microscope.cameras, microscope.camera_of_channel
    dimensions = [_told(dim, cameras, own) for dim in found["dimensions"]]
    follows = one_a_channel and any(d.type == "channel" and d.coords for d in dimensions)
    if len(cameras) == 1 or (follows and are_alike(cameras)):
        return {**found, "dimensions": dimensions}
    labels = [camera.label for camera in cameras]
    coords = labels if are_alike(cameras) else [_coordinate(camera) for camera in cameras]
    axis = Dimension(name=CAMERAS, type="other", coords=coords)
    told = {**found, "dimensions": [*dimensions[:-2], axis, *dimensions[-2:]]}
    if follows:
        told["schedule"] = _one_a_channel(dimensions, found.get("schedule"), labels)
    return told


def _coordinate(camera: Camera) -> Coordinate:
    height, width, *samples = camera.shape or (None, None)
    return Coordinate(
        name=camera.label,
        height=height,
        width=width,
        dtype=camera.dtype,
        rgb=bool(samples),
        pixel_size=camera.pixel_size_um,
    )


def _told(
    dim: Dimension, cameras: Sequence[Camera], own: Mapping[tuple[str, str], str]
) -> Dimension:
    """Say which camera sees each channel, where one does."""
    labels = [camera.label for camera in cameras]
    told: list[Any] = []
    for coord in dim.coords or ():
        camera = None
        if isinstance(coord, Channel) and coord.camera is None:
            camera = own.get((coord.group or "", coord.name))
            camera = camera if camera in labels else labels[0] if len(labels) == 1 else None
            coord = coord.model_copy(update={"camera": camera})
        told.append(coord)
    return dim.model_copy(update={"coords": told}) if told else dim


def _one_a_channel(
    dimensions: Sequence[Dimension], schedule: Schedule | None, labels: Sequence[str]
) -> Schedule:
    """Return a schedule in which each channel is seen by its own camera; others count on."""
    channel = next(d for d in dimensions if d.type == "channel")
    sees = [
        labels.index(c.camera) if isinstance(c, Channel) and c.camera else 0
        for c in channel.coords or ()
    ]
    if schedule is not None and channel.name in schedule.axes:
        at = schedule.axes.index(channel.name)
        rows = np.array([[*row, sees[row[at]]] for row in schedule.indices.tolist()])
        return Schedule((*schedule.axes, CAMERAS), rows)
    before = list(dimensions[: list(dimensions).index(channel)])
    endless = [d.name for d in before if d.count is None]
    rows = np.array([[*(0 for _ in endless), c, camera] for c, camera in enumerate(sees)])
    return Schedule((*endless, channel.name, CAMERAS), rows)
