"""Describe an OME-TIFF of any writer from its OME-XML.

Source: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ome_writers.conversion.source import Source, frame_indices
from ome_writers.formats import make_distinct, read_dataset_ome_xml
from ome_writers.formats.ome_xml import (
    FRAME_NAMESPACE,
    OWN_NAMESPACE,
    parse_value,
    read_acquisition_annotation,
)
from ome_writers.formats.ometiff import image_elements, pixel_sizes
from ome_writers.settings import Channel, Dimension, Plate, Position, row_name
from ome_writers.units import kind_of, ngff_name, si_value
from ome_writers.untrusted import MAX_IMAGES, check_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from ome_writers.conversion.source import Address
    from ome_writers.units import UnitKind
    from ome_writers.views import StreamView

__all__ = ["describe_ometiff"]

_MAX_CHANNELS = 2**20  # as in the settings


def describe_ometiff(path: Path, view: StreamView) -> Source:
    """Describe the images of an OME-TIFF.

    Raises
    ------
    UnsupportedError
        If it does not have OME-XML with images.
    """
    xml = read_dataset_ome_xml(path)
    elements = image_elements(xml, path)
    images, pixels = [image for image, _ in elements], [element for _, element in elements]
    parsed = [pixel_sizes(element, path) for element in pixels]
    samples = [p.samples for p in parsed]
    sizes = [{axis.lower(): n for axis, n in p.sizes.items()} for p in parsed]
    order = parsed[0].axes.lower()  # slowest first
    several = len(images) > 1 or images[0].find("{*}StageLabel") is not None
    names = [
        axis
        for axis in order
        if axis in view.dims
        or max(size[axis] for size in sizes) > 1
        or (axis == "c" and samples[0] == 1 and _has_channel_metadata(pixels[0]))
    ]
    if several:
        names.insert(0, "p")
    names = _in_acquisition_order(images[0], names)
    plate = None
    positions = list(map(_position, images, range(len(images))))
    if xml.find("{*}Plate") is not None:
        plate, positions = _wells(xml, images, positions)
    positions = _with_distinct_names(positions)
    ours = read_acquisition_annotation(xml)
    letters = [letter.lower() for letter in order]

    def address_of(index: Sequence[int]) -> Address:
        by_name = dict(zip(names, map(int, index), strict=False))
        return by_name.get("p", 0), tuple(by_name.get(letter, 0) for letter in letters)

    return Source(
        path=path,
        format="ome-tiff",
        dimensions=(
            *(_dimension(name, pixels[0], sizes, positions) for name in names),
            *(_dimension(name, pixels[0], sizes, positions) for name in "yx"),
        ),
        dtypes=[p.dtype.name for p in parsed],
        frame_shapes=[
            (size["y"], size["x"], *([s] if s > 1 else []))
            for size, s in zip(sizes, samples, strict=True)
        ],
        view=view,
        indices=frame_indices(names, sizes),
        address_of=address_of,
        plate=plate,
        status=ours.get("status"),
        written=ours.get("frames_written"),
        metadata={
            k: v for k, v in _annotations(xml).items() if k not in (OWN_NAMESPACE, FRAME_NAMESPACE)
        },
        name="" if several else images[0].get("Name", ""),
        frame_dimensions=_frame_dimensions(pixels, sizes),
    )


def _frame_dimensions(
    pixels: Sequence[Element], sizes: Sequence[Mapping[str, int]]
) -> list[tuple[Dimension, ...]]:
    """Return the axes y and x of each image."""
    by_size: dict[tuple[str | None, ...], tuple[Dimension, ...]] = {}
    dimensions = []
    for element in pixels:
        size = tuple(element.get(f"PhysicalSize{axis}") for axis in ("Y", "YUnit", "X", "XUnit"))
        if size not in by_size:
            by_size[size] = tuple(_dimension(name, element, sizes, []) for name in "yx")
        dimensions.append(by_size[size])
    return dimensions


def _has_channel_metadata(pixels: Element) -> bool:
    """Return whether the first channel has a name or colour."""
    channel = pixels.find("{*}Channel")
    return channel is not None and bool(channel.get("Name") or channel.get("Color"))


def _in_acquisition_order(image: Element, names: list[str]) -> list[str]:
    """Return the axes in the acquisition order that this library writes into the description, if it is there."""
    match = re.search(
        r"Acquisition order, slowest axis first: (.*)\.", image.findtext("{*}Description", "")
    )
    order = match[1].split(", ") if match else []
    return order if sorted(order) == sorted(names) else names


def _dimension(
    name: str, pixels: Element, sizes: Sequence[Mapping[str, int]], positions: list[Position]
) -> Dimension:
    if name == "p":
        return Dimension(name="p", type="position", coords=positions)
    count = max(size[name] for size in sizes)
    if name == "c":
        return Dimension(name="c", type="channel", coords=_channels(pixels, count))
    kind: UnitKind = "time" if name == "t" else "space"
    attribute = "TimeIncrement" if name == "t" else f"PhysicalSize{name.upper()}"
    unit = pixels.get(f"{attribute}Unit", "s" if name == "t" else "µm")
    scale = float(pixels.get(attribute, "0"))
    if not scale or kind_of(unit) != kind:  # "pixel" and "reference frame" are not lengths
        return Dimension(name=name, count=count, type=kind)
    return Dimension(name=name, count=count, type=kind, scale=scale, unit=ngff_name(unit, kind))


def _channels(pixels: Element, count: int) -> list[Channel]:
    check_count(count, "the number of channels", _MAX_CHANNELS)
    elements = pixels.findall("{*}Channel")[:count]
    names = make_distinct(
        [e.get("Name") or f"Channel {i}" for i, e in enumerate(elements)]
        + [f"Channel {i}" for i in range(len(elements), count)]
    )
    channels = [_channel(name, e) for name, e in zip(names, elements, strict=False)]
    return [*channels, *(Channel(name=name) for name in names[len(channels) :])]


def _channel(name: str, element: Element) -> Channel:
    return Channel(
        name=name,
        color=_color(element.get("Color")),
        excitation_wavelength_nm=_nanometers(element, "ExcitationWavelength"),
        emission_wavelength_nm=_nanometers(element, "EmissionWavelength"),
        fluorophore=element.get("Fluor"),
    )


def _color(text: str | None) -> Any:
    """Return the colour of a signed 32-bit RGBA integer."""
    if text is None:
        return None
    red, green, blue, alpha = (int(text) % 2**32).to_bytes(4, "big")
    return (red, green, blue) if alpha in (0, 255) else (red, green, blue, alpha / 255)


def _nanometers(element: Element, attribute: str) -> int | None:
    value, unit = element.get(attribute), element.get(f"{attribute}Unit", "nm")
    if value is None or kind_of(unit) != "space":
        return None
    return round(float(value) * si_value(ngff_name(unit, "space")) * 1e9) or None


def _position(image: Element, number: int) -> Position:
    """Return the position of an image from its StageLabel."""
    label = image.find("{*}StageLabel")
    name = image.get("Name") or image.get("ID") or str(number)
    if label is None:
        return Position(name=name)
    coords: dict[str, Any] = {}
    for axis in "XYZ":
        value, unit = label.get(axis), label.get(f"{axis}Unit", "µm")
        if value is not None and kind_of(unit) == "space":
            coords[f"{axis.lower()}_coord"] = (
                float(value) * si_value(ngff_name(unit, "space")) * 1e6
            )
    return Position(name=name, **coords)


def _wells(
    xml: Element, images: Sequence[Element], positions: list[Position]
) -> tuple[Plate | None, list[Position]]:
    """Return the plate, and the positions with their wells; no plate if an image does not have a well."""
    element = xml.find("{*}Plate")
    assert element is not None
    well_of_image = {
        reference.get("ID"): (int(well.get("Row", "0")), int(well.get("Column", "0")))
        for well in element.iterfind("{*}Well")
        for reference in well.iterfind("{*}WellSample/{*}ImageRef")
    }
    wells = [well_of_image.get(image.get("ID")) for image in images]
    known = [well for well in wells if well is not None]
    if len(known) < len(images):
        return None, positions
    rows = _names(element, "Row", max(row for row, _ in known))
    columns = _names(element, "Column", max(column for _, column in known))
    in_wells = [
        p.model_copy(update={"plate_row": rows[row], "plate_column": columns[column]})
        for p, (row, column) in zip(positions, known, strict=True)
    ]
    return Plate(row_names=rows, column_names=columns, name=element.get("Name")), in_wells


def _with_distinct_names(positions: Sequence[Position]) -> list[Position]:
    """Return positions with distinct names in each well; OME-XML cannot describe the cells of a grid."""
    renamed = list(positions)
    wells: dict[tuple[str | None, str | None], list[int]] = {}
    for number, position in enumerate(positions):
        wells.setdefault((position.plate_row, position.plate_column), []).append(number)
    for numbers in wells.values():
        names = make_distinct(positions[i].name for i in numbers)
        for i, name in zip(numbers, names, strict=True):
            renamed[i] = positions[i].model_copy(update={"name": name})
    return renamed


def _names(plate: Element, axis: str, last: int) -> list[str]:
    """Return the names of rows or columns by the plate's naming convention; default: letters for rows, numbers else."""
    count = max(int(plate.get(f"{axis}s", "0")), last + 1)
    check_count(count, f"the number of {axis}s of the plate", MAX_IMAGES)
    default = "letter" if axis == "Row" else "number"
    letters = plate.get(f"{axis}NamingConvention", default) == "letter"
    return [row_name(i) if letters else str(i + 1) for i in range(count)]


def _annotations(xml: Element) -> dict[str, dict[str, Any]]:
    """Return the values of each MapAnnotation that no element references, by namespace."""
    referenced = {element.get("ID") for element in xml.iterfind(".//{*}AnnotationRef")}
    namespaces: dict[str, dict[str, Any]] = {}
    for annotation in xml.iterfind("{*}StructuredAnnotations/{*}MapAnnotation"):
        if annotation.get("ID") not in referenced:
            pairs = {
                pair.get("K", ""): parse_value(pair.text or "")
                for pair in annotation.iterfind("{*}Value/{*}M")
            }
            namespace = annotation.get("Namespace") or "annotation"
            namespaces.setdefault(namespace, {}).update(pairs)
    return namespaces
