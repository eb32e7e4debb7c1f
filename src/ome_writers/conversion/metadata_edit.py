"""`edit`: correct pixel size, names, positions, channels, description and start of a dataset in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from ome_writers.conversion.in_place import edit_in_place, replace_json
from ome_writers.conversion.ngff_version import check_expressible_in_05
from ome_writers.conversion.ome_xml_edit import edited_xml
from ome_writers.conversion.requested_changes import requested_changes
from ome_writers.conversion.rescaling import edited_labels, move, rescale, stage_shift, steps_of
from ome_writers.conversion.settings_edit import Changes, edit_settings
from ome_writers.errors import UnsupportedError, checked_call
from ome_writers.formats import format_row, resolve_entry_file
from ome_writers.formats.ometiff import (
    find_entry_file,
    ome_xml_files,
    read_ome_xml,
    render_entry_file,
)
from ome_writers.formats.omezarr import XML_KEY, at_version, ngff_color, scene
from ome_writers.settings import Position
from ome_writers.storage import atomic_write
from ome_writers.storage.tiff import IfdRepair
from ome_writers.untrusted import Limit, guard_reader, local_path, read_json, read_regular

if TYPE_CHECKING:
    from datetime import datetime
    from os import PathLike

    from ome_writers.dataset import DatasetSpec

    Json = dict[str, Any]


@checked_call
def edit(
    path: str | PathLike[str],
    *,
    scale: Mapping[str, float] | None = None,
    names: Mapping[int | str, str] | None = None,
    channels: Mapping[int | str, Mapping[str, Any]] | None = None,
    positions: Mapping[int | str, Mapping[str, float]] | None = None,
    description: str | None = None,
    started: datetime | str | None = None,
) -> list[Path]:
    """Correct the metadata of a dataset in place; pixels are not touched.

    Each file changes atomically. If the edit is interrupted, repeat it.

    Parameters
    ----------
    path
        An OME-Zarr of any program, or an OME-TIFF of this library.
    scale
        Step of ``x``, ``y`` and ``z`` in micrometers, of ``t`` in seconds. Resolution levels and labels keep their
        relation to the full resolution, and stage positions stay. The offset of a z-stack from its stage position
        follows the step.
    names
        New names of images, by number or present name; of a field of view on a plate also ``A1/f0``.
    channels
        By number or present name: ``name``, ``color`` (as `Channel.color` takes it) and ``window`` (low, high). They
        apply to every image.
    positions
        Stage position of images, by number or name as in `names`: ``x``, ``y`` and ``z`` in micrometers; an omitted
        axis stays. Of a single image without a stage position, it is the coordinate of the first pixel and plane. Each
        frame's own position in the frame metadata stays.
    description
        What the dataset is, in one or more sentences: `DatasetSpec.description`, and the description of each image in
        OME-XML.
    started
        When the acquisition began, a datetime or as in ``2026-11-24T09:00:00+01:00``; without a time zone, local time.

    Returns
    -------
    list of Path
        The files that were changed.

    Raises
    ------
    OutputLockedError
        If a running process is writing the dataset.
    UnsupportedError
        If the dataset does not have such an axis, image or channel, its writer was killed, or its format has no place
        for a value. Nothing is changed.
    """
    given = {"scale": scale, "names": names, "channels": channels, "positions": positions}
    for name, value in given.items():
        if not isinstance(value, (Mapping, NoneType)):
            raise TypeError(f"{name} must be a dict by axis, image or channel, got {value!r}.")
    if not isinstance(description, (str, NoneType)):
        raise TypeError(f"description must be a text, got {description!r}.")
    root = resolve_entry_file(local_path(path))
    with edit_in_place(root) as spec, guard_reader(root):
        changes = requested_changes(
            spec,
            scale or {},
            names or {},
            channels or {},
            positions or {},
            description,
            started,
        )
        return list(format_row(spec.format).edit(spec, changes))


def edit_omezarr(spec: DatasetSpec, changes: Changes) -> list[Path]:
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


def edit_ometiff(spec: DatasetSpec, changes: Changes) -> list[Path]:
    """Edit the OME-XML in each file that contains all of it, then that of the entry file."""
    path = spec.path
    settings_channels = [d.count for d in spec.dimensions if d.type == "channel"]
    for channel, fields in changes.channels.values():
        if "window" in fields and settings_channels != [changes.channel_count]:
            raise UnsupportedError(
                f"{path}: OME-TIFF has no element for display windows, and the dataset's settings have no channel for "
                f"{channel.name!r}. Convert it to OME-Zarr."
            )
    in_folder = path.is_dir()
    texts: dict[Path, bytes] = {}
    for file in ome_xml_files(path):
        text = read_ome_xml(file, path if in_folder else None)
        if b"<BinaryOnly" not in text[:4096]:
            texts[file] = edited_xml(text, file, changes)
    if not in_folder and (not texts or b"<UUID FileName=" in texts[path]):
        raise UnsupportedError(
            f"{path} is one file of a set: edit the folder {path.parent} instead."
        )
    chains = {file: IfdRepair(file) for file in texts if file.suffix.lower() != ".ome"}
    for chain in chains.values():
        chain.refuse_foreign()
    for file, text in texts.items():
        if file in chains:
            chains[file].write_description(text)
        else:
            atomic_write(file, text, durable=True)
    entry = find_entry_file(path) if in_folder else None
    if entry is not None:
        source = min(texts, key=lambda file: (file in chains, file.name))  # a companion file first
        atomic_write(entry, render_entry_file(texts[source], path.name), durable=True)
    return [*texts, *([entry] if entry else ())]
