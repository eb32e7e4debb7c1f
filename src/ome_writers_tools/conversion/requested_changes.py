"""The arguments of `edit`, checked against the dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from numbers import Real
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ome_writers import Channel, UnsupportedError
from ome_writers.toolkit import UNITS, Changes, duplicates, image_name, stage_numbers, z_shift

if TYPE_CHECKING:
    from ome_writers import DatasetSpec

_CHANNEL_FIELDS = ("name", "color", "window")


def requested_changes(
    spec: DatasetSpec,
    scale: Mapping[str, Any],
    names: Mapping[int | str, str],
    channels: Mapping[int | str, Any],
    positions: Mapping[int | str, Any],
    description: str | None,
    started: datetime | str | None,
) -> Changes:
    """Return the checked arguments of `edit`, by number of the image or channel.

    Raises UnsupportedError if the dataset does not have such an axis, image or channel, or a value is not valid.
    """
    first = spec.images[0]
    for axis, given in scale.items():
        step: Any = given if isinstance(given, Real) else -1
        if axis not in UNITS or axis not in first.dims or not 0 < step < float("inf"):
            axes = ", ".join(name for name in first.dims if name in UNITS)
            raise UnsupportedError(
                f"{spec.path}: scale {axis}={given!r}. Give a positive number for one of the axes {axes}."
            )
    new = {}
    for key, fields in channels.items():
        number = _number(key, [channel.name for channel in first.channels], spec, "channel")
        if not isinstance(fields, Mapping):
            raise UnsupportedError(f"{spec.path}: channel {key} must be a dict, got {fields!r}.")
        unknown = fields.keys() - set(_CHANNEL_FIELDS)
        if unknown:
            raise UnsupportedError(
                f"{spec.path}: channel {key}: {', '.join(sorted(unknown))} cannot be edited, only "
                f"{', '.join(_CHANNEL_FIELDS)}."
            )
        try:
            channel = Channel.model_validate({"name": first.channels[number].name, **fields})
        except ValidationError as error:
            raise UnsupportedError(
                f"{spec.path}: channel {key}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from None
        new[number] = (channel, frozenset(fields))
    labels = [new[n][0].name if n in new else c.name for n, c in enumerate(first.channels)]
    if repeated := duplicates(labels):
        raise UnsupportedError(
            f"{spec.path}: several channels would be named {repeated[0]!r}. Choose distinct names."
        )
    images = [image_name(image) for image in spec.images]
    renamed = {_number(key, images, spec, "image"): name for key, name in names.items()}
    if not all(renamed.values()):
        raise UnsupportedError(f"{spec.path}: the name of an image may not be empty.")
    stage = _stage_positions(
        spec, {_number(k, images, spec, "image"): v for k, v in positions.items()}
    )
    return Changes(
        scale,
        renamed,
        new,
        len(first.channels),
        z_shift(spec, scale),
        stage,
        description,
        None if started is None else _time(spec, started),
        stage_numbers(spec) if stage else (),
    )


def _stage_positions(spec: DatasetSpec, given: Mapping[int, Any]) -> dict[int, dict[str, float]]:
    """Return the stage coordinates of images; images of several cameras at one position have the same."""
    found: dict[int, dict[str, float]] = {}
    stages = stage_numbers(spec) if given else []
    for number, coordinates in given.items():
        image = spec.images[number]
        what = f"{spec.path}: position {number}"
        if not isinstance(coordinates, Mapping) or not coordinates:
            raise UnsupportedError(
                f'{what} must be a dict such as {{"x": 1200, "y": -35}}, in micrometers, got {coordinates!r}.'
            )
        for axis, value in coordinates.items():
            number_given = isinstance(value, Real) and math.isfinite(value)
            if axis not in ("x", "y", "z") or not number_given:
                raise UnsupportedError(
                    f"{what}: {axis}={value!r}. Give x, y and z as numbers, in micrometers."
                )
            if axis not in image.dims and (spec.settings is None or image.position is None):
                raise UnsupportedError(
                    f"{what}: {axis}={value!r}. The axes of the image are {', '.join(image.dims)}."
                )
        same = [n for n, other in enumerate(stages) if other == stages[number]] or [number]
        stage = {axis: float(value) for axis, value in coordinates.items()}
        found |= dict.fromkeys(same, stage)
    return found


def _time(spec: DatasetSpec, started: datetime | str) -> datetime:
    try:
        # without the check, numbers are seconds since 1970
        if not isinstance(started, datetime) and "-" not in started[1:]:
            raise ValueError
        time = TypeAdapter(datetime).validate_python(started)
        return time if time.tzinfo else time.astimezone()
    except (ValueError, TypeError, OverflowError, OSError):
        raise UnsupportedError(
            f"{spec.path}: started={started!r} is not a time. Write it as 2026-11-24T09:00:00+01:00."
        ) from None


def _number(key: int | str, names: list[str], spec: DatasetSpec, what: str) -> int:
    if what == "image" and key not in names:
        own = [image.name for image in spec.images]
        names = own if own.count(str(key)) == 1 else names
    number = names.index(key) if key in names else int(key) if str(key).isdecimal() else -1
    if not 0 <= number < len(names):
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(names[:20]))
        raise UnsupportedError(f"{spec.path} has no {what} {key!r}. It has {known}.")
    return number
