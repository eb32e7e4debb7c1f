"""Parses an OME-Zarr 0.4 to 0.6, whichever program wrote it, from its metadata files; no pixel is read.

Sources: https://ngff.openmicroscopy.org/0.4/, https://ngff.openmicroscopy.org/0.5/ and, for 0.6, RFC-5 (https://ngff.openmicroscopy.org/rfc/5/).
"""
# Longer than 300 lines: one specification, from the dataset to an axis.

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ome_writers.codecs import CRC32C
from ome_writers.dataset import AxisSpec, DatasetSpec, ImageSpec, LevelSpec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.dataset_metadata import RESERVED_NAMESPACES
from ome_writers.formats.frame_metadata import JOURNAL_NAME, latest_entries
from ome_writers.formats.omezarr.layout import XML_KEY, compose, stored_image_keys
from ome_writers.formats.omezarr.node_metadata import (
    array_metadata_file,
    compression_of_codecs,
    group_attributes,
    image_groups,
    is_omezarr,
    is_zarr_v2,
    layout_and_groups,
    ome_writers_attributes,
    parse_array_metadata,
)
from ome_writers.formats.omezarr.plain_array import is_plain_array, parse_plain_array
from ome_writers.formats.plates import stored_plate
from ome_writers.formats.stored_settings import (
    own_dimensions,
    plan_from_settings,
    with_plan,
)
from ome_writers.routing import Plan, make_distinct
from ome_writers.settings import Channel, Dimension, Plate, Position
from ome_writers.units import kind_of, ngff_name, standard_size
from ome_writers.untrusted import Limit, member, read_json, read_lines, read_regular

Json = dict[str, Any]

_AXIS_TYPES = ("space", "time", "channel")


def parse_dataset(root: Path) -> DatasetSpec:
    """Return what the metadata of an OME-Zarr contains.

    The order of acquisition, frame counts and settings are known of datasets that ome-writers wrote; otherwise the
    dimensions are those of the stored arrays, behind the axis ``p`` of the images.

    Raises UnsupportedError if it is of another version, or its images have different axes; InvalidFileError if a file
    is missing or is not what the specification requires.
    """
    return parse_with_plan(root)[0]


def parse_with_plan(root: Path) -> tuple[DatasetSpec, Plan | None]:
    """Return `parse_dataset`, and the plan of its settings."""
    version_2 = not is_omezarr(root) and is_zarr_v2(root)
    if version_2 and (root / ".zarray").is_file():
        attributes: Any = None
    elif version_2:
        attributes = group_attributes(root)
    else:
        attributes = read_json(root / "zarr.json", root=root).get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    if not isinstance(attributes, dict) or not isinstance(ome, dict):
        if is_plain_array(root):
            return parse_plain_array(root), None
        inside = f" Open {root.parent}." if (root.parent / "zarr.json").exists() else ""
        raise InvalidFileError(f"{root} is a Zarr node without `ome` in its attributes.{inside}")
    layout, groups = layout_and_groups(root, ome)
    images = [parse_image(root, group, ome if group == "" else None) for group in groups]
    plate = None
    if layout == "plate":
        plate, images = _with_wells(root, ome["plate"], images)
    elif layout == "collection":
        names = make_distinct(image.name for image in images)
        images = [_renamed(image, name) for image, name in zip(images, names, strict=True)]
    own = attributes.get("ome_writers")
    own = own if isinstance(own, dict) else {}
    plan = _own_plan(root, own, groups)
    acquisition = own.get("acquisition")
    if plan is None and isinstance(acquisition, dict):
        images = _without_default_color(images, acquisition)
    if plan is None:
        dimensions = _stored_dimensions(root, images, several=layout != "image")
        if isinstance(acquisition, dict):
            dimensions = _as_acquired(dimensions, acquisition)
    else:
        images = [
            with_plan(image, planned) for image, planned in zip(images, plan.images, strict=True)
        ]
        dimensions = own_dimensions(plan, images)
    version = own.get("version")
    spec = DatasetSpec(
        path=root,
        format="ome-zarr-0.4" if version_2 else "ome-zarr",
        version=str(ome.get("version", "")),
        layout=layout,
        images=tuple(images),
        dimensions=tuple(dimensions),
        plate=stored_plate(plan) if plan and plan.settings.plate else plate,
        **recorded_progress(own),
        written_by=f"ome-writers {version}" if version else _creator(attributes),
        settings=plan.settings if plan else None,
        metadata=_metadata(attributes),
    )
    return spec, plan


def ome_xml(root: Path) -> bytes | None:
    """Return the OME-XML of a collection (bioformats2raw layout); None if there is none."""
    file = root / XML_KEY
    return read_regular(file, Limit.XML, root=root) if file.is_file() else None


def recorded_progress(own: Json) -> Json:
    """Return `DatasetSpec.status`, numbers of frames, start, last flush and description from our attributes."""
    frames = own.get("frames")
    counts = frames if isinstance(frames, dict) else {}
    settings = own.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    began, experiment = settings.get("acquisition_date"), settings.get("experiment")
    description = experiment.get("description") if isinstance(experiment, dict) else None
    texts = {
        "status": own.get("status"),
        "started": began or own.get("started"),
        "updated": own.get("updated"),
        "description": own.get("description", description) or None,
    }
    numbers = {
        "frames_written": counts.get("written"),
        "frames_expected": counts.get("expected"),
        "frames_in_order": counts.get("in_order") if own.get("status") == "writing" else None,
    }
    return {
        **{name: None if value is None else str(value) for name, value in texts.items()},
        **{name: value if type(value) is int else None for name, value in numbers.items()},
    }


def _with_wells(
    root: Path, plate: Json, images: Sequence[ImageSpec]
) -> tuple[Plate, list[ImageSpec]]:
    """Return the plate, and the images with the wells whose groups contain them."""
    try:
        rows = [str(row["name"]) for row in plate["rows"]]
        columns = [str(column["name"]) for column in plate["columns"]]
        wells = {
            well["path"]: (rows[well["rowIndex"]], columns[well["columnIndex"]])
            for well in plate["wells"]
        }
        found = []
        for image in images:
            well, _, field = image.key.rpartition("/")
            row, column = wells[well]
            assert image.position is not None
            position = image.position.model_copy(
                update={"name": field, "plate_row": row, "plate_column": column}
            )
            found.append(replace(image, position=position))
        return Plate(row_names=rows, column_names=columns, name=plate.get("name")), found
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidFileError(
            f"{root} is not a valid OME-Zarr: its plate metadata is incomplete ({error!r})."
        ) from error


def _renamed(image: ImageSpec, name: str) -> ImageSpec:
    """Return an image whose position has a name that is unique in the dataset."""
    assert image.position is not None
    return replace(image, position=image.position.model_copy(update={"name": name}))


def _own_plan(root: Path, own: Json, groups: Sequence[str]) -> Plan | None:
    """Return the plan of the settings in the root group; None where they do not describe these images."""
    if "settings" not in own:
        return None
    try:
        plan = plan_from_settings(own["settings"], len(groups))
    except UnsupportedError:  # another version wrote them
        return None
    return plan if stored_image_keys(plan, root) == list(groups) else None


def _stored_dimensions(
    root: Path, images: Sequence[ImageSpec], *, several: bool
) -> list[Dimension]:
    """Return the dimensions of another program's dataset: those of its arrays, behind the positions."""
    first = images[0]
    if any(image.dims != first.dims for image in images):
        raise UnsupportedError(
            f"{root}: its images have different axes ({', '.join(first.dims)} and others), which cannot be seen as "
            f"one array. Open each image's group by itself."
        )
    dimensions = []
    level = first.levels[0]
    for i, axis in enumerate(level.dimensions):
        count = max(image.shape[i] for image in images)
        named = axis.type == "channel" and len(first.channels) == count
        dimensions.append(
            Dimension(
                name=axis.name,
                count=count,
                type=axis.type,
                coords=list(first.channels) if named else None,
                unit=axis.unit,
                scale=level.scale[i],
                translation=level.translation[i] or None,
                chunk_size=min(level.chunks[i], count),
                shard_size_chunks=level.shards[i] // level.chunks[i] if level.shards else None,
            )
        )
    if several:
        positions = [image.position or image.name for image in images]
        dimensions.insert(0, Dimension(name="p", type="position", coords=positions))
    return dimensions


def _without_default_color(images: Sequence[ImageSpec], acquisition: Json) -> list[ImageSpec]:
    """Return the images of a copy of this library (OME-Zarr 0.4) with its white channels that have no color."""
    names = acquisition.get("channels_without_color")
    if not isinstance(names, list):
        return list(images)
    return [
        replace(
            image,
            channels=tuple(
                c.model_copy(update={"color": None})
                if c.name in names and c.color is not None and c.color.as_hex() == "#fff"
                else c
                for c in image.channels
            ),
        )
        for image in images
    ]


def _as_acquired(dimensions: list[Dimension], acquisition: Json) -> list[Dimension]:
    """Return the dimensions of a copy of this library (OME-Zarr 0.4) in the order of acquisition."""
    order = acquisition.get("order")
    by_name = {dim.name: dim for dim in dimensions[:-2]}
    if (
        not isinstance(order, list)
        or len(order) != len(by_name)
        or {*map(str, order)} != {*by_name}
    ):
        return dimensions
    return [*(by_name[str(name)] for name in order), *dimensions[-2:]]


def _metadata(attributes: Json) -> dict[str, Json]:
    """Return the attributes of the root group beside ``ome`` and ``ome_writers``, by namespace."""
    found = {k: v for k, v in attributes.items() if k and k not in RESERVED_NAMESPACES}
    named = {k: v for k, v in found.items() if isinstance(v, dict)}
    rest = {k: v for k, v in found.items() if not isinstance(v, dict)}
    return {**named, **({"attributes": rest} if rest else {})}


def _creator(attributes: Json) -> str | None:
    creator = attributes.get("_creator")
    if isinstance(creator, dict) and creator.get("name"):
        return " ".join(str(creator[key]) for key in ("name", "version") if creator.get(key))
    return None


def read_frames(root: Path) -> list[tuple[str, list[Json]]]:
    """Return key and frame metadata of each image."""
    try:
        groups = image_groups(root)
    except UnsupportedError:
        if is_plain_array(root):
            return []
        raise
    return [(group, read_image_frames(root, group)) for group in groups]


def read_image_frames(root: Path, group: str) -> list[Json]:
    """Return the frame metadata of an image, from the metadata of its group or its journal."""
    frames = ome_writers_attributes(root / group, root).get("frame_metadata")
    if not isinstance(frames, list):  # in the journal
        frames = latest_entries(read_lines(root / group / JOURNAL_NAME, root=root))
    return [frame for frame in frames if isinstance(frame, dict)]


def channels_of(ome: Json, count: int) -> tuple[Channel, ...]:
    """Return the channels in the ``omero`` block of an image; numbered names where there are none or too few."""
    omero = ome.get("omero")
    entries = omero.get("channels") if isinstance(omero, dict) else None
    entries = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    labels = [str(e.get("label") or f"Channel {i}") for i, e in enumerate(entries)][:count]
    labels += [f"Channel {i}" for i in range(len(labels), count)]
    distinct = make_distinct(labels) if count > 1 else labels
    named = zip(distinct, [*entries, *[{}] * count], strict=False)
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
        stage, moved = _stage(axes, levels) if group else ({}, levels)
        name = str(multiscale.get("name") or group or root.name)
        return ImageSpec(
            key=group,
            name=name,
            levels=_with_axes(axes, dimensions, moved),
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
