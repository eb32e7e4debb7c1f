"""The settings that ome-writers stores in a dataset, applied to what the dataset's metadata contain."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from ome_writers.dataset import DatasetSpec, ImageSpec, LevelSpec, copy_with
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import NOT_STORED
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings, Channel, Dimension
from ome_writers.untrusted import MAX_DIMENSIONS, MAX_IMAGES, check_count

Json = dict[str, Any]

_MAX_COORDS = 2**20  # as many as an image may have channels


def plan_from_settings(settings: Any, images: int | None = None) -> Plan:
    """Return the plan of the settings that a dataset contains, as JSON.

    `images` is the number of images that its other metadata list, if known: a small file must not cause the work of
    the 100,000 images that its settings may describe.

    Raises UnsupportedError if there are none, another version wrote them, or they have more positions than `images`.
    """
    dimensions = settings.get("dimensions") if isinstance(settings, dict) else None
    dimensions = dimensions if isinstance(dimensions, list) else []
    check_count(len(dimensions), "settings: the number of dimensions", MAX_DIMENSIONS)
    for dim in dimensions:
        if isinstance(dim, dict):
            is_position = dim.get("type") == "position"
            most_images = MAX_IMAGES if images is None else min(images, MAX_IMAGES)
            limit = most_images if is_position else _MAX_COORDS
            coords, count = dim.get("coords"), dim.get("count")
            if isinstance(coords, list):
                check_count(len(coords), "settings: the number of coords", limit)
            if is_position and count is not None:
                check_count(count, "settings: the number of positions", limit)
    if isinstance(settings, dict):
        settings = {name: value for name, value in settings.items() if name not in NOT_STORED}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the warnings were issued when the dataset was written
            # the engine of another package may be missing here
            context = {"any_backend": True}
            return resolve(AcquisitionSettings.model_validate(settings, context=context))
    except (ValueError, TypeError, NotImplementedError, ArithmeticError, MemoryError) as error:
        raise UnsupportedError(str(error)) from error


def stored_plan(spec: DatasetSpec) -> Plan | None:
    """Return the plan of a dataset's settings with its arrays as they are on disk; None if it has no settings."""
    if spec.settings is None:
        return None
    arrays = [image.levels for image in spec.images]
    plan = with_stored_arrays(resolve(spec.settings), arrays)
    pairs = zip(plan.images, spec.images, strict=True)
    return replace(plan, images=tuple(copy_with(image, key=stored.key) for image, stored in pairs))


def with_stored_arrays(plan: Plan, arrays: Sequence[Sequence[LevelSpec | None]]) -> Plan:
    """Return a plan with keys, chunks and shards of the arrays on disk; shapes are those that were planned.

    `arrays` has the levels of each image; None for an array that is missing or damaged. Shards may differ from the
    settings: acquire-zarr writes every chunk in one. Smaller levels that are not on disk have shards if full resolution
    has.
    """
    images = []
    for image, found in zip(plan.images, arrays, strict=True):
        one_chunk_each = bool(found and found[0] and found[0].shards) and not image.array.shards
        levels = []
        for level, stored in zip_longest(image.levels, found[: len(image.levels)]):
            if stored is not None:
                values = {"key": stored.key, "chunks": stored.chunks, "shards": stored.shards}
                level = copy_with(level, **values)
            elif one_chunk_each:
                level = copy_with(level, shards=level.chunks)
            levels.append(level)
        images.append(copy_with(image, levels=tuple(levels)))
    return replace(plan, images=tuple(images))


def with_plan(image: ImageSpec, planned: ImageSpec) -> ImageSpec:
    """Return an image with what its plan records and the format has no field for.

    Names, colors and windows are those of the metadata, which may have been edited since.
    """
    axes = planned.levels[0].dimensions
    axis = next((i for i, d in enumerate(axes) if d.type == "channel"), None)
    stored = list(axes[axis].coords or ()) if axis is not None else []
    shown = image.channels[: 1 if axis is None else None]
    stored += [channel.name for channel in shown[len(stored) :]]
    channels = [_with_edits(*pair) for pair in zip(stored, shown, strict=False)]
    position = planned.position
    if position is not None and planned.name != image.name:
        position = position.model_copy(update={"name": image.name})
    full, level = planned.levels[0], image.levels[0]
    dimensions = full.dimensions
    edited = level.scale != full.scale or any(
        (new.name, new.type, new.unit)
        != (old.name, old.type or "other", old.unit if old.scale is not None else None)
        for new, old in zip(level.dimensions, dimensions, strict=True)
    )
    if edited:
        dimensions = tuple(
            old.model_copy(
                update={"name": new.name, "type": new.type, "unit": new.unit, "scale": scale}
            )
            for new, old, scale in zip(level.dimensions, dimensions, level.scale, strict=True)
        )
    offsets = list(full.translation)
    if not position:
        offsets = list(level.translation)
    moved = [b - a for a, b in zip(level.translation, offsets, strict=True)]
    levels = tuple(
        replace(
            each,
            translation=tuple(map(sum, zip(each.translation, moved, strict=True))),
            dimensions=dimensions,
        )
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
    axes = plan.images[0].levels[0].dimensions
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
