"""Edits of the metadata of an OME-Zarr in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.ome_xml import edited_xml
from ome_writers.formats.omezarr.layout import XML_KEY
from ome_writers.formats.omezarr.ngff import ngff_color
from ome_writers.formats.omezarr.node_metadata import check_expressible_in_05
from ome_writers.formats.omezarr.rescaling import (
    edit_derived,
    move,
    rescale,
    stage_shift,
    steps_of,
)
from ome_writers.formats.omezarr.stored_groups import StoredGroups, open_metadata
from ome_writers.formats.omezarr.versions import at_version, scene
from ome_writers.formats.settings_edit import Changes, edit_settings
from ome_writers.settings import Position
from ome_writers.untrusted import Limit, read_regular

if TYPE_CHECKING:
    from ome_writers.dataset import DatasetSpec

Json = dict[str, Any]


def edit(spec: DatasetSpec, changes: Changes) -> list[Path]:
    """Edit the OME-XML of a collection, the group of each image, and then the settings in the root group."""
    with open_metadata(spec.path) as groups:
        for number in range(len(spec.images)):
            _edit_image(groups, spec, number, changes)
        _add_scene(groups, spec, changes)
        dataset = changes.description is not None or changes.started is not None
        edit_settings(groups.own(create=dataset), changes)
        xml = spec.path / XML_KEY
        if xml.is_file():
            text = read_regular(xml, Limit.XML, root=spec.path)
            groups.texts[XML_KEY] = edited_xml(text, xml, changes)
    return groups.changed_files


def _edit_image(groups: StoredGroups, spec: DatasetSpec, number: int, changes: Changes) -> None:
    image = spec.images[number]
    file, attributes = groups.file(image.key), groups.attributes(image.key)
    ome = attributes["ome"]
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
        edit_derived(groups, image.key, changes, steps, shift)
    if changes.channels:
        _edit_omero(found, changes, file)
    kept = {"scene": ome["scene"]} if "scene" in ome else {}
    attributes["ome"] = {**at_version(found, spec.version), **kept}


def _add_scene(groups: StoredGroups, spec: DatasetSpec, changes: Changes) -> None:
    """Add the scene of an OME-Zarr 0.6 whose images get their first stage positions."""
    ome = groups.attributes()["ome"]
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
        attributes = {key: groups.attributes(key) for key in keys}
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
