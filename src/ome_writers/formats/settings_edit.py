"""What `edit` changes, and the change of the settings that a dataset contains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ome_writers.routing import resolve
from ome_writers.units import standard_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ome_writers.dataset import DatasetSpec, ImageSpec
    from ome_writers.settings import Channel

    Json = dict[str, Any]

UNITS = {
    "t": ("second", "s"),
    "z": ("micrometer", "µm"),
    "y": ("micrometer", "µm"),
    "x": ("micrometer", "µm"),
}


@dataclass(frozen=True)
class Changes:
    """What `edit` changes.

    Attributes
    ----------
    scale
        Axis to its new step, in micrometers or seconds.
    names
        Number of an image to its new name.
    channels
        Number of a channel to the new channel, and the fields that change.
    channel_count
        Number of channels of an image.
    z_shift
        By how much the first plane of a z-stack moves from its stage position, in micrometers.
    positions
        Number of an image to its new stage coordinates by axis, in micrometers.
    description
        What the dataset is; None if it stays.
    started
        When the acquisition began, with a time zone; None if it stays.
    stage_numbers
        See the function of this name.
    """

    scale: Mapping[str, float]
    names: Mapping[int, str]
    channels: Mapping[int, tuple[Channel, frozenset[str]]]
    channel_count: int
    z_shift: float = 0.0
    positions: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    description: str | None = None
    started: datetime | None = None
    stage_numbers: Sequence[int] = ()


def edit_settings(own: Any, changes: Changes) -> None:
    """Change the stored settings, which contain what the format has no field for."""
    settings = own.get("settings") if isinstance(own, dict) else None
    if not isinstance(settings, dict):
        settings = {}
    if changes.description is not None:
        own["description"] = changes.description
        if isinstance(experiment := settings.get("experiment"), dict):
            experiment["description"] = changes.description
    if changes.started is not None:
        own["started"] = changes.started.isoformat()
        if settings:
            settings["acquisition_date"] = changes.started.isoformat()
    for dimension in settings.get("dimensions") or ():
        name, coords = dimension.get("name"), dimension.get("coords")
        if name in changes.scale:
            _rescale(dimension, changes.scale[name])
        if changes.positions:
            _set_positions(dimension, changes)
        if dimension.get("type") != "channel" or not coords:
            continue
        if changes.channel_count > len(coords):  # several per channel: of cameras, or RGB samples
            continue
        for number, (channel, fields) in changes.channels.items():
            if number < len(coords):
                before = (
                    coords[number] if isinstance(coords[number], dict) else {"name": coords[number]}
                )
                coords[number] = {**before, **channel.model_dump(mode="json", include=set(fields))}


def _rescale(dimension: Json, step: float) -> None:
    """Set the step of a dimension of the stored settings; its first coordinate stays, that of z follows it."""
    before, coords = dimension.get("scale"), dimension.get("coords") or ()
    factor = unit_factor(dimension["name"], dimension.get("unit"))
    if coords and all(isinstance(c, (int, float)) for c in coords):
        first = 0.0 if dimension["name"] == "z" else coords[0]
        moved = [first * factor + (c - first) / before * step for c in coords] if before else None
        dimension["coords"] = moved  # None: the steps were irregular, and are equal now
    if dimension.get("translation"):
        if before and dimension["name"] == "z":
            factor = step / before
        dimension["translation"] *= factor
    dimension.update(scale=step, unit=UNITS[dimension["name"]][0])


def _set_positions(dimension: Json, changes: Changes) -> None:
    """Set the stage positions in the axis of positions; without one, the first coordinate of x, y and z."""
    coords: list[Any] = dimension.get("coords") or []
    if changes.stage_numbers:
        if dimension.get("type") == "position":
            for image, stage in changes.positions.items():
                number = changes.stage_numbers[image]
                before = coords[number]
                entry = before if isinstance(before, dict) else {"name": before}
                coords[number] = {**entry, **{f"{axis}_coord": v for axis, v in stage.items()}}
        return
    first = changes.positions.get(0, {}).get(dimension.get("name", ""))
    if first is not None:
        first /= unit_factor(dimension["name"], dimension.get("unit"))
        if coords:
            dimension["coords"] = [first + coord - coords[0] for coord in coords]
        dimension["translation"] = first


def stage_numbers(spec: DatasetSpec) -> list[int]:
    """Return the index of each image's stage position along the axis of positions; empty without our settings or axis.

    Images of several cameras have the same one.
    """
    axes = spec.settings.dimensions if spec.settings else ()
    coords: list[Any] | None = next(
        (list(dim.coords or ()) for dim in axes if dim.type == "position"), None
    )
    if spec.settings is None or coords is None:
        return []
    return [coords.index(image.position) for image in resolve(spec.settings).images]


def unit_factor(axis: str, unit: str | None) -> float:
    """Return the size of a unit in the unit that `edit` writes for this axis; 1 for an unknown unit."""
    return standard_size(unit, "time" if axis == "t" else "space")


def image_name(image: ImageSpec) -> str:
    """Return the name of an image; of a field of view on a plate after its well, as views have it (``"A1/f0"``)."""
    position = image.position
    if position is None or position.plate_row is None:
        return image.name
    return f"{position.plate_row}{position.plate_column}/{position.name}"


def z_shift(spec: DatasetSpec, scale: Mapping[str, float]) -> float:
    """Return by how much the first plane of a stack moves, in micrometers.

    The offset of a stack from its stage position is a multiple of the step. Without our settings it is unknown, because
    the metadata contain only the sum of both.
    """
    z = next((dim for dim in spec.dimensions if dim.name == "z"), None)
    if "z" not in scale or z is None or spec.settings is None or not z.scale:
        return 0.0
    return (z.translation or 0.0) / z.scale * scale["z"] - (z.translation or 0.0) * unit_factor(
        "z", z.unit
    )
