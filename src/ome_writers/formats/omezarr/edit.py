"""Edits of the metadata of an OME-Zarr in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.in_place import replace_json
from ome_writers.formats.ome_xml import edited_xml
from ome_writers.formats.omezarr.layout import XML_KEY
from ome_writers.formats.omezarr.ngff import ngff_color
from ome_writers.formats.omezarr.ngff_version import check_expressible_in_05
from ome_writers.formats.omezarr.rescaling import (
    edited_labels,
    move,
    rescale,
    stage_shift,
    steps_of,
)
from ome_writers.formats.omezarr.versions import at_version, scene
from ome_writers.formats.settings_edit import Changes, edit_settings
from ome_writers.settings import Position
from ome_writers.storage import atomic_write
from ome_writers.untrusted import Limit, read_json, read_regular

if TYPE_CHECKING:
    from ome_writers.dataset import DatasetSpec

Json = dict[str, Any]


def edit(spec: DatasetSpec, changes: Changes) -> list[Path]:
    """Edit the group of each image, then the OME-XML of a collection, then the settings in the root group."""
    root = spec.path
    groups: dict[Path, Json] = {}
    for number, image in enumerate(spec.images):
        file = root / image.key / "zarr.json"
        groups[file] = group = read_json(file, root=root)
        ome, version = group["attributes"]["ome"], spec.version
        check_expressible_in_05(ome, file)
        found = at_version(ome, "0.5")
        multiscale = found["multiscales"][0]
        steps = steps_of(multiscale)
        if number in changes.names:
            multiscale["name"] = changes.names[number]
        rescale(multiscale, changes.scale, steps, changes.z_shift)
        shift = stage_shift(multiscale, image, changes, number)
        move(multiscale, shift)
        if changes.scale or any(shift.values()):
            groups |= edited_labels(root, image.key, changes, steps, shift)
        if changes.channels:
            _edit_omero(found, changes, file)
        kept = {"scene": ome["scene"]} if "scene" in ome else {}
        group["attributes"]["ome"] = {**at_version(found, version), **kept}
    top = root / "zarr.json"
    last = groups.pop(top, None) or read_json(top, root=root)
    _add_scene(last["attributes"]["ome"], spec, changes, groups)
    own = last["attributes"].get("ome_writers")
    if own is None and (changes.description is not None or changes.started is not None):
        own = last["attributes"]["ome_writers"] = {}
    edit_settings(own, changes)
    changed = [replace_json(file, group) for file, group in groups.items()]
    xml = root / XML_KEY
    if xml.is_file():
        text = read_regular(xml, Limit.XML, root=root)
        atomic_write(xml, edited_xml(text, xml, changes), durable=True)
        changed.append(xml)
    return [*changed, replace_json(top, last)]


def _add_scene(ome: Json, spec: DatasetSpec, changes: Changes, groups: Mapping[Path, Json]) -> None:
    """Add the scene of an OME-Zarr 0.6 whose images get their first stage positions."""
    if spec.version == "0.6" and spec.layout == "collection" and "scene" not in ome:
        keys = [image.key for image in spec.images]
        stages = [
            Position(
                name=image.name,
                x_coord=stage.get("x"),
                y_coord=stage.get("y"),
                z_coord=stage.get("z"),
            )
            for n, image in enumerate(spec.images)
            for stage in [changes.positions.get(n, {})]
        ]
        attributes = {key: groups[spec.path / key / "zarr.json"]["attributes"] for key in keys}
        ome.update(scene(stages, keys, attributes))


def _edit_omero(ome: Json, changes: Changes, file: Path) -> None:
    entries = ome.get("omero", {}).get("channels", [])
    for number, (channel, fields) in changes.channels.items():
        if number >= len(entries):
            raise UnsupportedError(f"{file}: its `omero` block does not have channel {number}.")
        entry = entries[number]
        if "name" in fields:
            entry["label"] = channel.name
        if "color" in fields:
            entry["color"] = ngff_color(channel)
        if "window" in fields and channel.window is not None:
            entry["window"] = {
                **entry.get("window", {}),
                **dict(zip(("start", "end"), channel.window, strict=True)),
            }
