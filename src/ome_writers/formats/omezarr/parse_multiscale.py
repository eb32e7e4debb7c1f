"""Parses one image of an OME-Zarr: axes, resolution levels, transformations and channels of its multiscale.

Sources: https://ngff.openmicroscopy.org/0.5/ and, for 0.6, RFC-5 (https://ngff.openmicroscopy.org/rfc/5/).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ome_writers.codecs import CRC32C
from ome_writers.dataset import AxisSpec, ImageSpec, LevelSpec
from ome_writers.decompression import compression_of_codecs
from ome_writers.errors import InvalidFileError
from ome_writers.formats.omezarr.array_metadata import array_metadata_file, parse_array_metadata
from ome_writers.formats.omezarr.group_metadata import compose, group_attributes
from ome_writers.routing import make_distinct
from ome_writers.settings import Channel, Dimension, Position
from ome_writers.units import kind_of, ngff_name, standard_size
from ome_writers.untrusted import member, read_json

Json = dict[str, Any]

_AXIS_TYPES = ("space", "time", "channel")


def channels_of(ome: Json, count: int) -> tuple[Channel, ...]:
    """Return the channels in the ``omero`` block of an image; numbered names where there are none or too few."""
    omero = ome.get("omero")
    entries = omero.get("channels") if isinstance(omero, dict) else None
    entries = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    labels = [str(e.get("label") or f"Channel {i}") for i, e in enumerate(entries)][:count]
    labels += [f"Channel {i}" for i in range(len(labels), count)]
    named = zip(make_distinct(labels), [*entries, *[{}] * count], strict=False)
    return tuple(Channel(name=name, **_display(entry)) for name, entry in named)


def _display(entry: Json) -> Json:
    """Return color and display window of a channel in ``omero``."""
    found: Json = {}
    color = str(entry.get("color", ""))
    if re.fullmatch("[0-9A-Fa-f]{6}", color):
        found["color"] = f"#{color}"
    window = entry.get("window")
    start, end = (window.get("start"), window.get("end")) if isinstance(window, dict) else (0, 0)
    if isinstance(start, (int, float)) and isinstance(end, (int, float)) and start < end:
        found["window"] = (start, end)
    return found


def parse_image(root: Path, group: str, known: Json | None = None) -> ImageSpec:
    """Return the image in a group; `known` are its attributes in the namespace of NGFF."""
    try:
        ome: Json = group_attributes(root / group, root)["ome"] if known is None else known
        multiscale = ome["multiscales"][0]
        axes = _parse_axes(multiscale)
        levels = [_parse_level(root, group, multiscale, d) for d in multiscale["datasets"]]
        dimensions = tuple(
            Dimension(name=axis.name, type=axis.type, unit=axis.unit, count=n)
            for axis, n in zip(axes, levels[0].shape if levels else (), strict=False)
        )
    except KeyError as error:
        problem = f"{error} is missing"
    except (IndexError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InvalidFileError):
            raise
        problem = str(error)
    else:
        if not levels:
            raise InvalidFileError(f"{root}: the image {group or '.'} lists no dataset.")
        if any(len(level.shape) != len(axes) for level in levels):
            raise InvalidFileError(
                f"{root}: the image {group or '.'} has {len(axes)} axes, its arrays have other numbers."
            )
        channel = next((i for i, axis in enumerate(axes) if axis.type == "channel"), None)
        count = 1 if channel is None else levels[0].shape[channel]
        stage, moved = _stage(axes, levels)
        name = str(multiscale.get("name") or group or root.name)
        return ImageSpec(
            key=group,
            name=name,
            levels=_with_axes(axes, dimensions, moved if group else levels),
            channels=channels_of(ome, count),
            position=Position(name=name, **stage) if group else None,
            index_axes=tuple(axis.name for axis in axes[:-2]),
        )
    raise InvalidFileError(
        f"{root} is not a valid OME-Zarr: {problem} in the image {group or '.'}."
    )


def _with_axes(
    axes: Sequence[AxisSpec], dimensions: tuple[Dimension, ...], levels: Sequence[LevelSpec]
) -> tuple[LevelSpec, ...]:
    """Return levels with their axes.

    Their scale of 1 is None along axes without a unit and with a scale of 1 at full resolution.
    """
    known = [axis.unit is not None or levels[0].scale[i] != 1.0 for i, axis in enumerate(axes)]
    return tuple(
        replace(
            level,
            dimensions=dimensions,
            scale=tuple(
                s if k or s != 1.0 else None for s, k in zip(level.scale, known, strict=True)
            ),
        )
        for level in levels
    )


def _parse_axes(multiscale: Json) -> tuple[AxisSpec, ...]:
    """Return the axes of a multiscale; in 0.6 those of its intrinsic coordinate system."""
    entries = multiscale.get("axes")
    if entries is None:
        systems = {system["name"]: system for system in multiscale["coordinateSystems"]}
        output = multiscale["datasets"][0]["coordinateTransformations"][0]["output"]
        entries = systems[output["name"] if isinstance(output, dict) else output]["axes"]
    return tuple(
        AxisSpec(
            name=str(entry["name"]),
            type=entry.get("type") if entry.get("type") in _AXIS_TYPES else "other",
            unit=_unit(entry),
        )
        for entry in entries
    )


def _unit(axis: Json) -> str | None:
    """Return the NGFF name of an axis' unit; a unit of another quantity than the axis' is ignored."""
    unit, kind = axis.get("unit"), axis.get("type")
    if not isinstance(unit, str):
        return None
    if kind in ("space", "time"):
        return ngff_name(unit, kind) if kind_of(unit) == kind else None
    return unit


def _parse_level(root: Path, group: str, multiscale: Json, entry: Json) -> LevelSpec:
    folder = member(root / group, entry["path"])
    key = f"{group}/{entry['path']}" if group else str(entry["path"])
    try:
        array = parse_array(read_json(array_metadata_file(folder), root=root), key, folder)
    except FileNotFoundError:
        raise InvalidFileError(f"{folder} is not an array, but the image refers to it.") from None
    common = (
        () if "coordinateSystems" in multiscale else multiscale.get("coordinateTransformations")
    )
    transformations = (*entry.get("coordinateTransformations", ()), *(common or ()))
    scale, translation = compose(transformations, len(array.shape), str(folder))
    return replace(array, scale=tuple(scale), translation=tuple(translation))


def parse_array(metadata: Json, key: str, name: object) -> LevelSpec:
    """Return what array metadata contain. `key` is that of the array; `name` begins the error messages."""
    array = parse_array_metadata(metadata, name)
    return LevelSpec(
        key=key,
        shape=array.shape,
        dtype=str(array.data_type),
        chunks=array.chunks,
        shards=array.shards,
        compression=compression_of_codecs(array.codecs),
        checksum=array.codecs[-1]["name"] == CRC32C.name,
    )


def _stage(
    axes: Sequence[AxisSpec], levels: Sequence[LevelSpec]
) -> tuple[dict[str, Any], tuple[LevelSpec, ...]]:
    """Return the stage coordinates of an image, in micrometer, and its levels without them.

    In a collection or a plate, the translation of x, y and z at full resolution is the stage position.
    """
    stage: dict[str, Any] = {}
    at = list(levels[0].translation)
    for i, axis in enumerate(axes):
        if axis.name in ("x", "y", "z") and at[i]:
            stage[f"{axis.name}_coord"] = at[i] * standard_size(axis.unit, "space")
        else:
            at[i] = 0.0
    without = tuple(
        replace(level, translation=tuple(a - b for a, b in zip(level.translation, at, strict=True)))
        for level in levels
    )
    return stage, without
