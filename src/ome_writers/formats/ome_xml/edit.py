"""`edit` of an OME-XML document."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ome_writers.errors import UnsupportedError
from ome_writers.formats.ome_xml.annotations import OWN_NAMESPACE, read_acquisition_annotation
from ome_writers.formats.ome_xml.images import ACQUISITION_ORDER, ome_color
from ome_writers.formats.ome_xml.parsing import image_elements, parse_ome_xml
from ome_writers.formats.ome_xml.text import with_warning
from ome_writers.formats.settings_edit import UNITS, Changes, edit_settings

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

_BEFORE_STAGE_LABEL = {
    "AcquisitionDate",
    "ExperimenterRef",
    "Description",
    "ExperimentRef",
    "ExperimenterGroupRef",
    "InstrumentRef",
    "ObjectiveSettings",
    "ImagingEnvironment",
}


def edited_xml(text: bytes, file: Path, changes: Changes) -> bytes:
    """Return the OME-XML in a file with the changes.

    Raises UnsupportedError if it is that of an OME-TIFF of another program.
    """
    xml = parse_ome_xml(text, file)
    info = read_acquisition_annotation(xml)
    if file.suffix.lower() != ".xml" and "status" not in info:
        raise UnsupportedError(
            f"{file} was not written by this library. Convert it with `ome-writers convert`, and edit the copy."
        )
    for number, (image, pixels) in enumerate(image_elements(xml, file)):
        if number in changes.names:
            image.set("Name", changes.names[number])
        if number in changes.positions:
            _set_position(xml, image, changes.positions[number])
        if changes.started is not None:
            _child(image, "AcquisitionDate", ()).text = changes.started.isoformat()
        if changes.description is not None:
            element = _child(image, "Description", ("AcquisitionDate", "ExperimenterRef"))
            order = re.search(
                f"{ACQUISITION_ORDER}.*", element.text or ""
            )  # readers of version 0.3 parse it
            element.text = "\n".join(filter(None, (changes.description, order and order[0])))
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
    if changes.started is not None:
        for run in xml.iterfind("{*}Plate/{*}PlateAcquisition"):
            run.set("StartTime", changes.started.isoformat())
    for annotation in xml.iterfind("{*}StructuredAnnotations/*"):
        value = annotation.find("{*}Value")
        if annotation.get("Namespace") == OWN_NAMESPACE and value is not None and info:
            edit_settings(info, changes)
            value.text = json.dumps(info, allow_nan=False)
    # tostring's own default_namespace refuses attributes without a namespace
    ElementTree.register_namespace("", xml.tag.rpartition("}")[0][1:])
    edited: bytes = ElementTree.tostring(xml, "utf-8", xml_declaration=True)
    return edited if file.suffix.lower() in (".ome", ".xml") else with_warning(edited)


def _set_position(xml: Element, image: Element, coordinates: Mapping[str, float]) -> None:
    """Set the stage position of an image, also in its well."""
    label = image.find("{*}StageLabel")
    if label is None:
        label = _child(image, "StageLabel", _BEFORE_STAGE_LABEL)
        label.set("Name", image.get("Name") or "")
    identifier = image.get("ID")
    samples = [
        sample
        for sample in xml.iterfind("{*}Plate/{*}Well/{*}WellSample")
        for reference in sample.iterfind("{*}ImageRef")
        if reference.get("ID") == identifier
    ]
    for axis, value in coordinates.items():
        for element, prefix in ((label, ""), *((sample, "Position") for sample in samples)):
            if axis == "z" and prefix:
                continue
            element.set(f"{prefix}{axis.upper()}", repr(value))
            element.set(f"{prefix}{axis.upper()}Unit", "µm")


def _child(parent: Element, name: str, before: Collection[str]) -> Element:
    """Return a child element; a missing one is added after those named in `before`, as the schema requires."""
    found = parent.find(f"{{*}}{name}")
    if found is None:
        found = ElementTree.Element(f"{parent.tag.rpartition('}')[0]}}}{name}")
        tags = [child.tag.rpartition("}")[2] for child in parent]
        parent.insert(
            next((i for i, tag in enumerate(tags) if tag not in before), len(tags)), found
        )
    return found
