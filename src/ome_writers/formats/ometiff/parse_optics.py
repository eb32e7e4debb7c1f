"""Parses channels, stage positions and the plate of an OME-XML.

Source: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import ImageSpec
from ome_writers.routing import make_distinct
from ome_writers.settings import Channel, Plate, Position, row_name
from ome_writers.units import kind_of, standard_size
from ome_writers.untrusted import MAX_IMAGES, check_count

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


_MAX_CHANNELS = 2**20  # as in settings


def parse_channels(pixels: Element, count: int) -> tuple[Channel, ...]:
    """Return `count` channels with distinct names; numbered ones where the OME-XML describes fewer."""
    check_count(count, "the number of channels", _MAX_CHANNELS)
    elements = pixels.findall("{*}Channel")[:count]
    names = [element.get("Name") or f"Channel {i}" for i, element in enumerate(elements)]
    names += [f"Channel {i}" for i in range(len(elements), count)]
    return tuple(
        _channel(name, elements[i]) if i < len(elements) else Channel(name=name)
        for i, name in enumerate(make_distinct(names))
    )


def _channel(name: str, element: Element) -> Channel:
    return Channel(
        name=name,
        color=_color(element.get("Color")),
        excitation_wavelength_nm=_nanometers(element, "ExcitationWavelength"),
        emission_wavelength_nm=_nanometers(element, "EmissionWavelength"),
        fluorophore=element.get("Fluor"),
    )


def _color(text: str | None) -> Any:
    """Return OME's color, a signed 32-bit integer of RGBA, as `Channel.color` takes it."""
    try:
        red, green, blue, alpha = (int(text or "") % 2**32).to_bytes(4, "big")
    except ValueError:
        return None
    return (red, green, blue) if alpha in (0, 255) else (red, green, blue, alpha / 255)


def _nanometers(element: Element, attribute: str) -> int | None:
    value, unit = element.get(attribute), element.get(f"{attribute}Unit", "nm")
    if value is None or kind_of(unit) != "space":
        return None
    return round(float(value) * standard_size(unit, "space") * 1e3) or None


def parse_position(image: Element) -> Position:
    """Return the name of an image, and the stage position in its StageLabel."""
    name = image.get("Name") or image.get("ID") or "0"
    label = image.find("{*}StageLabel")
    found: dict[str, Any] = {}
    for axis in "XYZ" if label is not None else "":
        assert label is not None
        value, unit = label.get(axis), label.get(f"{axis}Unit", "µm")
        if value is not None and kind_of(unit) == "space":
            found[f"{axis.lower()}_coord"] = float(value) * standard_size(unit, "space")
    return Position(name=name, **found)


def parse_plate(
    xml: Element, identifiers: Sequence[str], images: Sequence[ImageSpec]
) -> tuple[Plate | None, list[ImageSpec]]:
    """Return the plate, and the images with their wells; no plate where an image is in no well."""
    plate = xml.find("{*}Plate")
    assert plate is not None
    wells = {
        reference.get("ID"): (int(well.get("Row", "0")), int(well.get("Column", "0")))
        for well in plate.iterfind("{*}Well")
        for reference in well.iterfind("{*}WellSample/{*}ImageRef")
    }
    if not set(identifiers) <= set(wells):
        return None, list(images)
    at = [wells[identifier] for identifier in identifiers]
    rows = _names(plate, "Row", max(row for row, _ in at))
    columns = _names(plate, "Column", max(column for _, column in at))
    found = []
    for image, (row, column) in zip(images, at, strict=True):
        assert image.position is not None
        well = {"plate_row": rows[row], "plate_column": columns[column]}
        found.append(replace(image, position=image.position.model_copy(update=well)))
    return Plate(row_names=rows, column_names=columns, name=plate.get("Name")), found


def _names(plate: Element, axis: str, last: int) -> list[str]:
    """Return the names of a plate's rows or columns by its naming convention; letters for rows by default."""
    count = max(int(plate.get(f"{axis}s", "0")), last + 1)
    check_count(count, f"the number of {axis}s of the plate", MAX_IMAGES)
    default = "letter" if axis == "Row" else "number"
    letters = plate.get(f"{axis}NamingConvention", default) == "letter"
    return [row_name(i) if letters else str(i + 1) for i in range(count)]


def distinct_positions(images: Sequence[ImageSpec]) -> list[ImageSpec]:
    """Return images whose positions have distinct names in each well: OME-XML does not require it."""
    found = list(images)
    wells: dict[tuple[str | None, str | None], list[int]] = {}
    for number, image in enumerate(images):
        assert image.position is not None
        key = (image.position.plate_row, image.position.plate_column)
        wells.setdefault(key, []).append(number)
    for numbers in wells.values():
        names = [_position_name(images[number]) for number in numbers]
        for number, name in zip(numbers, make_distinct(names), strict=True):
            position = found[number].position
            assert position is not None
            found[number] = replace(
                found[number], position=position.model_copy(update={"name": name})
            )
    return found


def _position_name(image: ImageSpec) -> str:
    return image.position.name if image.position else image.name
