"""The settings that ome-writers stores in a dataset, applied to what the dataset's metadata contain."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ome_writers.dataset import ImageSpec
from ome_writers.errors import UnsupportedError
from ome_writers.routing import ImagePlan, Plan, resolve
from ome_writers.settings import AcquisitionSettings, Channel, Dimension
from ome_writers.untrusted import MAX_IMAGES, check_count

Json = dict[str, Any]

_MAX_COORDS = 2**20  # as many as an image may have channels


_NOT_STORED = {"mirror"}  # where a dataset is copied to must not apply to what is derived from it


def settings_to_store(settings: AcquisitionSettings) -> Json:
    """Return settings as JSON, as a dataset contains them."""
    return settings.model_dump(mode="json", exclude=_NOT_STORED)


def plan_from_settings(settings: Any) -> Plan:
    """Return the plan of the settings that a dataset contains, as JSON.

    Raises UnsupportedError if there are none, or another version wrote them.
    """
    dimensions = settings.get("dimensions") if isinstance(settings, dict) else None
    for dim in dimensions if isinstance(dimensions, list) else ():
        if isinstance(dim, dict) and isinstance(dim.get("coords"), list):
            limit = MAX_IMAGES if dim.get("type") == "position" else _MAX_COORDS
            check_count(len(dim["coords"]), "settings: the number of coords", limit)
    if isinstance(settings, dict):
        settings = {name: value for name, value in settings.items() if name not in _NOT_STORED}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the warnings were issued when the dataset was written
            # the engine of another package may be missing here
            context = {"any_backend": True}
            return resolve(AcquisitionSettings.model_validate(settings, context=context))
    except (ValueError, TypeError, NotImplementedError, ArithmeticError, MemoryError) as error:
        raise UnsupportedError(str(error)) from error


def with_plan(image: ImageSpec, planned: ImagePlan) -> ImageSpec:
    """Return an image with what its plan records and the format has no field for.

    Names, colors and windows are those of the metadata, which may have been edited since.
    """
    axis = next((i for i, d in enumerate(planned.array.dimensions) if d.type == "channel"), None)
    stored = list(planned.array.dimensions[axis].coords or ()) if axis is not None else []
    shown = image.channels[: 1 if axis is None else None]
    stored += [channel.name for channel in shown[len(stored) :]]
    channels = [_with_edits(*pair) for pair in zip(stored, shown, strict=False)]
    position = planned.position
    if position is not None and planned.name != image.name:
        position = position.model_copy(update={"name": image.name})
    offsets = [d.translation or 0.0 for d in planned.array.dimensions]
    level = image.levels[0]
    if not position:
        offsets = list(level.translation)
    moved = [b - a for a, b in zip(level.translation, offsets, strict=True)]
    levels = tuple(
        replace(each, translation=tuple(map(sum, zip(each.translation, moved, strict=True))))
        for each in image.levels
    )
    return replace(
        image, channels=tuple(channels), position=position, camera=planned.camera, levels=levels
    )


def _with_edits(stored: Any, shown: Channel) -> Channel:
    """Return a channel of the settings with the name, color and window of the ``omero`` block."""
    channel = stored if isinstance(stored, Channel) else Channel(name=str(stored))
    white = channel.color is None and shown.color is not None and shown.color.as_hex() == "#fff"
    update: Json = {"name": shown.name, "window": shown.window or channel.window}
    return channel.model_copy(update=update if white else {**update, "color": shown.color})


def own_dimensions(plan: Plan, images: Sequence[ImageSpec]) -> list[Dimension]:
    """Return the dimensions of the settings with the names and colors that the metadata has now.

    Channels stay as they are where an image has several per channel: one per camera, or per sample of RGB.
    """
    axes = plan.images[0].array.dimensions
    stored_channels = next((d.count for d in axes if d.type == "channel"), None)
    found = []
    for dim in plan.settings.dimensions:
        if dim.type == "channel" and dim.coords and dim.count == stored_channels:
            channels = [
                channel.model_copy(update={"window": getattr(stored, "window", None)})
                for channel, stored in zip(images[0].channels, dim.coords, strict=False)
            ]
            dim = dim.model_copy(update={"coords": [*channels, *dim.coords[len(channels) :]]})
        elif dim.type == "position" and len(images) == len(dim.coords or ()):
            dim = dim.model_copy(update={"coords": [image.position for image in images]})
        found.append(dim)
    return found
