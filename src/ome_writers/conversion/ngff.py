"""Describe an OME-Zarr 0.5 of any writer from its group and array metadata.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ome_writers.conversion.source import Source, frame_indices, with_values
from ome_writers.errors import UnsupportedError
from ome_writers.formats import RESERVED_NAMESPACES, make_distinct
from ome_writers.formats.omezarr import (
    group_attributes,
    image_groups,
    read_json_object,
)
from ome_writers.settings import Channel, Dimension, Plate, Position
from ome_writers.units import kind_of, ngff_name, si_value
from ome_writers.untrusted import check_shape, member

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ome_writers.conversion.source import Address
    from ome_writers.views import StreamView

    JsonObject = dict[str, Any]

__all__ = ["channel_values", "describe_omezarr", "root_metadata"]

_AXIS_TYPES = ("space", "time", "channel")
_MICROMETERS_PER_METER = 1e6


def describe_omezarr(path: Path, view: StreamView) -> Source:
    """Describe the first resolution level of the images of an OME-Zarr.

    Raises
    ------
    UnsupportedError
        If its images have different axes.
    """
    groups = image_groups(path)
    images = [group_attributes(path / g, path)["ome"] for g in groups]
    multiscales: list[JsonObject] = [image["multiscales"][0] for image in images]
    arrays = [
        read_json_object(member(path / g, m["datasets"][0]["path"]) / "zarr.json", path)
        for g, m in zip(groups, multiscales, strict=True)
    ]
    names = [str(axis["name"]) for axis in multiscales[0]["axes"]]
    if any([axis["name"] for axis in m["axes"]] != names for m in multiscales):
        raise UnsupportedError(
            f"{path}: the images have different axes, which one dataset cannot contain."
        )
    shapes = [
        check_shape(array["shape"], path / g, axes=len(names))
        for g, array in zip(groups, arrays, strict=True)
    ]
    attributes = group_attributes(path)
    several = len(groups) > 1 or "plate" in attributes["ome"]
    dimensions = _dimensions(
        multiscales[0], images[0], shapes, arrays[0], with_translation=not several
    )
    plate = None
    if several:
        positions = _positions(groups, multiscales)
        if "plate" in attributes["ome"]:
            plate, positions = _wells(attributes["ome"]["plate"], groups, positions)
        dimensions.insert(0, Dimension(name="p", type="position", coords=positions))

    def address_of(index: Sequence[int]) -> Address:
        return (int(index[0]), tuple(index[1:])) if several else (0, tuple(index))

    ours = attributes.get("ome_writers", {})
    return Source(
        path=path,
        format="ome-zarr",
        dimensions=tuple(dimensions),
        dtypes=[str(array["data_type"]) for array in arrays],
        frame_shapes=[shape[-2:] for shape in shapes],
        view=view,
        indices=frame_indices(
            [d.name for d in dimensions[:-2]],
            [dict(zip(names[:-2], shape[:-2], strict=True)) for shape in shapes],
        ),
        address_of=address_of,
        plate=plate,
        status=ours.get("status"),
        written=ours.get("frames", {}).get("written"),
        compression=_compression(arrays[0]),
        metadata=root_metadata(attributes),
        name="" if several else str(multiscales[0].get("name") or ""),
        frame_dimensions=[_frame_dimensions(m, multiscales[0], dimensions) for m in multiscales],
    )


def channel_values(image: JsonObject) -> list[JsonObject]:
    """Return the ``omero`` metadata of each channel as arguments of `Channel`."""
    channels = image.get("omero", {}).get("channels", ())
    names = make_distinct(str(c.get("label") or f"Channel {i}") for i, c in enumerate(channels))
    values: list[JsonObject] = []
    for name, channel in zip(names, channels, strict=True):
        value: JsonObject = {"name": name}
        color = str(channel.get("color", ""))
        if re.fullmatch("[0-9A-Fa-f]{6}", color):
            value["color"] = f"#{color}"
        window = channel.get("window") or {}
        start, end = window.get("start"), window.get("end")
        if isinstance(start, (int, float)) and isinstance(end, (int, float)) and start < end:
            value["window"] = (start, end)
        values.append(value)
    return values


def root_metadata(attributes: JsonObject) -> dict[str, JsonObject]:
    """Return the root attributes other than ``ome`` and ``ome_writers`` by namespace.

    Attributes that are not JSON objects are in the namespace ``attributes``.
    """
    other = {k: v for k, v in attributes.items() if k and k not in RESERVED_NAMESPACES}
    namespaces = {k: v for k, v in other.items() if isinstance(v, dict)}
    values = {k: v for k, v in other.items() if not isinstance(v, dict)}
    return {**namespaces, **({"attributes": values} if values else {})}


def _dimensions(
    multiscale: JsonObject,
    image: JsonObject,
    shapes: Sequence[Sequence[int]],
    array: JsonObject,
    *,
    with_translation: bool,
) -> list[Dimension]:
    """Return the axes of an image. Several images have their translations in their positions instead."""
    scales, translations = _transformation(multiscale)
    chunks, shards = _chunks(array)
    channels = [Channel(**value) for value in channel_values(image)]
    dimensions = []
    for i, axis in enumerate(multiscale["axes"]):
        count = max(shape[i] for shape in shapes)
        kind = axis.get("type")
        unit = axis.get("unit")
        if unit is not None and kind in ("space", "time"):
            unit = ngff_name(unit, kind) if kind_of(unit) == kind else None
        dimensions.append(
            Dimension(
                name=str(axis["name"]),
                count=count,
                type=kind if kind in _AXIS_TYPES else "other",
                coords=channels if kind == "channel" and len(channels) == count else None,
                unit=unit,
                scale=scales[i] if scales[i] != 1.0 or unit else None,
                translation=translations[i] or None if with_translation else None,
                chunk_size=min(chunks[i], count),
                shard_size_chunks=shards[i] if shards else None,
            )
        )
    return dimensions


def _frame_dimensions(
    multiscale: JsonObject, first: JsonObject, dimensions: Sequence[Dimension]
) -> tuple[Dimension, ...]:
    """Return the axes y and x of an image: those of the first image with the scale of this one."""
    scales, first_scales = (_transformation(m)[0][-2:] for m in (multiscale, first))
    frame = tuple(dimensions[-2:])
    if scales == first_scales:
        return frame
    return tuple(with_values(dim, scale=scale) for dim, scale in zip(frame, scales, strict=True))


def _transformation(multiscale: JsonObject) -> tuple[list[float], list[float]]:
    """Return scale and translation of the first level, combined with those of the multiscale."""
    count = len(multiscale["axes"])
    scale, translation = [1.0] * count, [0.0] * count
    level = multiscale["datasets"][0].get("coordinateTransformations", ())
    for step in (*level, *multiscale.get("coordinateTransformations", ())):
        if step.get("type") == "scale":
            scale = [a * b for a, b in zip(scale, step["scale"], strict=True)]
            translation = [a * b for a, b in zip(translation, step["scale"], strict=True)]
        elif step.get("type") == "translation":
            translation = [a + b for a, b in zip(translation, step["translation"], strict=True)]
    return scale, translation


def _chunks(array: JsonObject) -> tuple[list[int], list[int] | None]:
    """Return the chunk shape, and the number of chunks per shard along each axis."""
    outer = array["chunk_grid"]["configuration"]["chunk_shape"]
    first = array["codecs"][0]
    if first["name"] != "sharding_indexed":
        return outer, None
    inner = first["configuration"]["chunk_shape"]
    return inner, [o // i for o, i in zip(outer, inner, strict=True)]


def _compression(array: JsonObject) -> str | None:
    codecs = array["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        codecs = codecs[0]["configuration"]["codecs"]
    for codec in codecs:
        name = codec["name"]
        if name == "blosc":
            name = f"blosc-{codec.get('configuration', {}).get('cname')}"
        if name in ("blosc-zstd", "blosc-lz4", "zstd", "gzip"):
            return str(name)
    return None


def _positions(groups: Sequence[str], multiscales: Sequence[JsonObject]) -> list[Position]:
    """Return a position for each image, with name and translation of x, y and z in micrometers."""
    names = make_distinct(str(m.get("name") or g) for m, g in zip(multiscales, groups, strict=True))
    positions = []
    for name, multiscale in zip(names, multiscales, strict=True):
        translations = _transformation(multiscale)[1]
        coords: dict[str, Any] = {
            f"{axis['name']}_coord": translation * _micrometers(axis)
            for axis, translation in zip(multiscale["axes"], translations, strict=True)
            if axis["name"] in ("x", "y", "z") and translation
        }
        positions.append(Position(name=name, **coords))
    return positions


def _micrometers(axis: Mapping[str, Any]) -> float:
    """Return the unit of an axis in micrometers; 1 for an unknown unit."""
    unit = str(axis.get("unit", "micrometer"))
    return (
        si_value(ngff_name(unit, "space")) * _MICROMETERS_PER_METER
        if kind_of(unit) == "space"
        else 1.0
    )


def _wells(
    plate: JsonObject, groups: Sequence[str], positions: Sequence[Position]
) -> tuple[Plate, list[Position]]:
    """Return the plate, and the positions with the wells of their groups."""
    rows = [str(row["name"]) for row in plate["rows"]]
    columns = [str(column["name"]) for column in plate["columns"]]
    in_wells = []
    wells = {well["path"]: (well["rowIndex"], well["columnIndex"]) for well in plate["wells"]}
    for group, position in zip(groups, positions, strict=True):
        well, _, name = group.rpartition("/")
        row, column = wells[well]
        well_names = {"plate_row": rows[row], "plate_column": columns[column]}
        in_wells.append(position.model_copy(update={"name": name, **well_names}))
    return Plate(row_names=rows, column_names=columns, name=plate.get("name")), in_wells
