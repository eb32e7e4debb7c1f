"""`edit`: correct pixel size, names, colors and display windows of a dataset in place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pydantic import ValidationError

from ome_writers.conversion.in_place import edit_in_place, replace_json
from ome_writers.conversion.ngff_version import check_expressible_in_05
from ome_writers.conversion.rescaling import rescale, rescaled_labels, steps_of
from ome_writers.conversion.settings_edit import (
    UNITS,
    Changes,
    edit_settings,
    image_name,
    z_shift,
)
from ome_writers.errors import UnsupportedError, checked_call
from ome_writers.formats import format_row, resolve_entry_file
from ome_writers.formats.ome_xml import (
    OWN_NAMESPACE,
    ome_color,
    read_acquisition_annotation,
    with_warning,
)
from ome_writers.formats.ometiff import (
    find_entry_file,
    image_elements,
    ome_xml_files,
    parse_ome_xml,
    read_ome_xml,
    render_entry_file,
)
from ome_writers.formats.omezarr import (
    XML_KEY,
    at_version,
    ngff_color,
)
from ome_writers.settings import Channel, duplicates
from ome_writers.storage import atomic_write
from ome_writers.storage.tiff import IfdRepair
from ome_writers.untrusted import (
    Limit,
    guard_reader,
    local_path,
    read_json,
    read_regular,
)

if TYPE_CHECKING:
    from os import PathLike

    from ome_writers.dataset import DatasetSpec

    Json = dict[str, Any]

_CHANNEL_FIELDS = ("name", "color", "window")


@checked_call
def edit(
    path: str | PathLike[str],
    *,
    scale: Mapping[str, float] | None = None,
    names: Mapping[int | str, str] | None = None,
    channels: Mapping[int | str, Mapping[str, Any]] | None = None,
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
    for name, value in (("scale", scale), ("names", names), ("channels", channels)):
        if not isinstance(value, (Mapping, NoneType)):
            raise TypeError(f"{name} must be a dict by axis, image or channel, got {value!r}.")
    root = resolve_entry_file(local_path(path))
    with edit_in_place(root) as spec, guard_reader(root):
        changes = _checked(spec, scale or {}, names or {}, channels or {})
        return list(format_row(spec.format).edit(spec, changes))


def _checked(
    spec: DatasetSpec,
    scale: Mapping[str, Any],
    names: Mapping[int | str, str],
    channels: Mapping[int | str, Any],
) -> Changes:
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
    return Changes(scale, renamed, new, len(first.channels), z_shift(spec, scale))


def _number(key: int | str, names: list[str], spec: DatasetSpec, what: str) -> int:
    if what == "image" and key not in names:
        own = [image.name for image in spec.images]
        names = own if own.count(str(key)) == 1 else names
    number = names.index(key) if key in names else int(key) if str(key).isdecimal() else -1
    if not 0 <= number < len(names):
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(names[:20]))
        raise UnsupportedError(f"{spec.path} has no {what} {key!r}. It has {known}.")
    return number


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
        if changes.scale:
            groups |= rescaled_labels(root, image.key, changes, steps)
        if changes.channels:
            _edit_omero(found, changes, file)
        kept = {"scene": ome["scene"]} if "scene" in ome else {}
        group["attributes"]["ome"] = {**at_version(found, version), **kept}
    top = root / "zarr.json"
    last = groups.pop(top, None) or read_json(top, root=root)
    edit_settings(last["attributes"].get("ome_writers"), changes)
    changed = [replace_json(file, group) for file, group in groups.items()]
    xml = root / XML_KEY
    if xml.is_file():
        text = read_regular(xml, Limit.XML, root=root)
        atomic_write(xml, _edited_xml(text, xml, changes), durable=True)
        changed.append(xml)
    return [*changed, replace_json(top, last)]


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
            texts[file] = _edited_xml(text, file, changes)
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


def _edited_xml(text: bytes, file: Path, changes: Changes) -> bytes:
    xml = parse_ome_xml(text, file)
    info = read_acquisition_annotation(xml)
    if file.suffix.lower() != ".xml" and "status" not in info:
        raise UnsupportedError(
            f"{file} was not written by this library. Convert it with `ome-writers convert`, and edit the copy."
        )
    for number, (image, pixels) in enumerate(image_elements(xml, file)):
        if number in changes.names:
            image.set("Name", changes.names[number])
        for axis, step in changes.scale.items():
            attribute = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
            pixels.set(attribute, repr(float(step)))
            pixels.set(f"{attribute}Unit", UNITS[axis][1])
        elements = pixels.findall("{*}Channel")
        for channel_number, (channel, fields) in changes.channels.items():
            if "name" in fields:
                elements[channel_number].set("Name", channel.name)
            if "color" in fields and channel.color is not None:
                elements[channel_number].set("Color", str(ome_color(channel)))
    for annotation in xml.iterfind("{*}StructuredAnnotations/*"):
        value = annotation.find("{*}Value")
        if annotation.get("Namespace") == OWN_NAMESPACE and value is not None and info:
            edit_settings(info, changes)
            value.text = json.dumps(info, allow_nan=False)
    # tostring's own default_namespace refuses attributes without a namespace
    ElementTree.register_namespace("", xml.tag.rpartition("}")[0][1:])
    edited: bytes = ElementTree.tostring(xml, "utf-8", xml_declaration=True)
    return edited if file.suffix.lower() in (".ome", ".xml") else with_warning(edited)
