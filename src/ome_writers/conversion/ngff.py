"""An OME-Zarr 0.5 of anybody, from its documents.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ome_writers.conversion.source import Source, changed, existing
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

    Document = dict[str, Any]

__all__ = ["describe_ngff", "facts_of_channels", "root_metadata"]

_TYPES = ("space", "time", "channel")
_MICROMETERS = 1e6  # a meter


def describe_ngff(path: Path, view: StreamView) -> Source:
    """Return what the documents of an OME-Zarr say. Of resolution levels, the first counts.

    Raises
    ------
    UnsupportedError
        If its images have different axes.
    """
    groups = image_groups(path)
    images = [group_attributes(path / g, path)["ome"] for g in groups]
    multiscales: list[Document] = [image["multiscales"][0] for image in images]
    arrays = [
        read_json_object(member(path / g, m["datasets"][0]["path"]) / "zarr.json", path)
        for g, m in zip(groups, multiscales, strict=True)
    ]
    names = [str(axis["name"]) for axis in multiscales[0]["axes"]]
    if any([axis["name"] for axis in m["axes"]] != names for m in multiscales):
        raise UnsupportedError(f"{path}: its images have different axes, which one stream cannot.")
    shapes = [
        check_shape(array["shape"], path / g, axes=len(names))
        for g, array in zip(groups, arrays, strict=True)
    ]
    attributes = group_attributes(path)
    several = len(groups) > 1 or "plate" in attributes["ome"]
    dimensions = _dimensions(multiscales[0], images[0], shapes, arrays[0], moved=not several)
    plate = None
    if several:
        positions = _positions(groups, multiscales)
        if "plate" in attributes["ome"]:
            plate, positions = _wells(attributes["ome"]["plate"], groups, positions)
        dimensions.insert(0, Dimension(name="p", type="position", coords=positions))

    def place(index: Sequence[int]) -> Address:
        return (int(index[0]), tuple(index[1:])) if several else (0, tuple(index))

    ours = attributes.get("ome_writers", {})
    return Source(
        path=path,
        format="ome-zarr",
        dimensions=tuple(dimensions),
        dtypes=[str(array["data_type"]) for array in arrays],
        frame_shapes=[shape[-2:] for shape in shapes],
        view=view,
        rows=existing(
            [d.name for d in dimensions[:-2]],
            [dict(zip(names[:-2], shape[:-2], strict=True)) for shape in shapes],
        ),
        place=place,
        plate=plate,
        status=ours.get("status"),
        written=ours.get("frames", {}).get("written"),
        compression=_compression(arrays[0]),
        metadata=root_metadata(attributes),
        name="" if several else str(multiscales[0].get("name") or ""),
        pixels=[_pixels(m, multiscales[0], dimensions) for m in multiscales],
    )


def facts_of_channels(image: Document) -> list[Document]:
    """Return what an image's ``omero`` says of each channel, as `Channel` takes it."""
    channels = image.get("omero", {}).get("channels", ())
    names = make_distinct(str(c.get("label") or f"Channel {i}") for i, c in enumerate(channels))
    facts: list[Document] = []
    for name, channel in zip(names, channels, strict=True):
        fact: Document = {"name": name}
        color = str(channel.get("color", ""))
        if re.fullmatch("[0-9A-Fa-f]{6}", color):
            fact["color"] = f"#{color}"
        window = channel.get("window") or {}
        start, end = window.get("start"), window.get("end")
        if isinstance(start, (int, float)) and isinstance(end, (int, float)) and start < end:
            fact["window"] = (start, end)
        facts.append(fact)
    return facts


def root_metadata(attributes: Document) -> dict[str, Document]:
    """Return what the root says beside ``ome`` and ``ome_writers``, by namespace."""
    found = {k: v for k, v in attributes.items() if k and k not in RESERVED_NAMESPACES}
    named = {k: v for k, v in found.items() if isinstance(v, dict)}
    rest = {k: v for k, v in found.items() if not isinstance(v, dict)}
    return {**named, **({"attributes": rest} if rest else {})}


def _dimensions(
    multiscale: Document,
    image: Document,
    shapes: Sequence[Sequence[int]],
    array: Document,
    *,
    moved: bool,
) -> list[Dimension]:
    """Return the axes of an image, with the translation if there is but one image (`moved`)."""
    steps, begins = _transformation(multiscale)
    chunks, shards = _chunks(array)
    told = facts_of_channels(image)
    dimensions = []
    for i, axis in enumerate(multiscale["axes"]):
        count = max(shape[i] for shape in shapes)
        kind = axis.get("type")
        unit = axis.get("unit")
        if unit is not None and kind in ("space", "time"):
            unit = ngff_name(unit, kind) if kind_of(unit) == kind else None
        channels = [Channel(**fact) for fact in told]
        dimensions.append(
            Dimension(
                name=str(axis["name"]),
                count=count,
                type=kind if kind in _TYPES else "other",
                coords=channels if kind == "channel" and len(told) == count else None,
                unit=unit,
                scale=steps[i] if steps[i] != 1.0 or unit else None,
                translation=begins[i] or None if moved else None,
                chunk_size=min(chunks[i], count),
                shard_size_chunks=shards[i] if shards else None,
            )
        )
    return dimensions


def _pixels(
    multiscale: Document, first: Document, dimensions: Sequence[Dimension]
) -> tuple[Dimension, ...]:
    """Return the axes y and x of an image, which are those of the first one but for their scale."""
    steps, usual = (_transformation(one)[0][-2:] for one in (multiscale, first))
    frame = tuple(dimensions[-2:])
    if steps == usual:
        return frame
    return tuple(changed(dim, scale=step) for dim, step in zip(frame, steps, strict=True))


def _transformation(multiscale: Document) -> tuple[list[float], list[float]]:
    """Return scale and translation of the first level, what is said of all levels applied after it."""
    count = len(multiscale["axes"])
    scale, translation = [1.0] * count, [0.0] * count
    level = multiscale["datasets"][0].get("coordinateTransformations", ())
    for one in (*level, *multiscale.get("coordinateTransformations", ())):
        if one.get("type") == "scale":
            scale = [a * b for a, b in zip(scale, one["scale"], strict=True)]
            translation = [a * b for a, b in zip(translation, one["scale"], strict=True)]
        elif one.get("type") == "translation":
            translation = [a + b for a, b in zip(translation, one["translation"], strict=True)]
    return scale, translation


def _chunks(array: Document) -> tuple[list[int], list[int] | None]:
    """Return the shape of a chunk, and how many chunks a shard has along each axis."""
    outer = array["chunk_grid"]["configuration"]["chunk_shape"]
    first = array["codecs"][0]
    if first["name"] != "sharding_indexed":
        return outer, None
    inner = first["configuration"]["chunk_shape"]
    return inner, [o // i for o, i in zip(outer, inner, strict=True)]


def _compression(array: Document) -> str | None:
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


def _positions(groups: Sequence[str], multiscales: Sequence[Document]) -> list[Position]:
    """Return a position for each image: its name, and where its y, x and z begin."""
    names = make_distinct(str(m.get("name") or g) for m, g in zip(multiscales, groups, strict=True))
    positions = []
    for name, multiscale in zip(names, multiscales, strict=True):
        begins = _transformation(multiscale)[1]
        found: dict[str, Any] = {
            f"{axis['name']}_coord": begin * _micrometers(axis)
            for axis, begin in zip(multiscale["axes"], begins, strict=True)
            if axis["name"] in ("x", "y", "z") and begin
        }
        positions.append(Position(name=name, **found))
    return positions


def _micrometers(axis: Mapping[str, Any]) -> float:
    """Return how many micrometers the unit of an axis is; 1 where nobody knows."""
    unit = str(axis.get("unit", "micrometer"))
    return si_value(ngff_name(unit, "space")) * _MICROMETERS if kind_of(unit) == "space" else 1.0


def _wells(
    plate: Document, groups: Sequence[str], positions: Sequence[Position]
) -> tuple[Plate, list[Position]]:
    """Return the plate, and the positions with the wells that their groups lie in."""
    rows = [str(row["name"]) for row in plate["rows"]]
    columns = [str(column["name"]) for column in plate["columns"]]
    found = []
    wells = {well["path"]: (well["rowIndex"], well["columnIndex"]) for well in plate["wells"]}
    for group, position in zip(groups, positions, strict=True):
        well, _, name = group.rpartition("/")
        row, column = wells[well]
        place = {"plate_row": rows[row], "plate_column": columns[column]}
        found.append(position.model_copy(update={"name": name, **place}))
    return Plate(row_names=rows, column_names=columns, name=plate.get("name")), found
