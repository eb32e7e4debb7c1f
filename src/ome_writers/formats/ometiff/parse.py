"""Parses an OME-TIFF, whichever program wrote it, from its OME-XML; no pixel is read.

Source: https://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ome_writers.codecs import compression_of_tag
from ome_writers.dataset import AxisType, DatasetLayout, DatasetSpec, ImageSpec, LevelSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.micromanager import NAMESPACE, written_by
from ome_writers.formats.ome_xml import (
    ACQUISITION_ORDER,
    FRAME_NAMESPACE,
    OWN_NAMESPACE,
    annotation_pairs,
    image_elements,
    parse_ome_xml,
    read_acquisition_annotation,
)
from ome_writers.formats.ometiff.file_sets import first_tiff
from ome_writers.formats.ometiff.first_page import (
    FirstPage,
    metadata_file,
    read_first_page,
    read_ome_xml,
)
from ome_writers.formats.ometiff.micromanager import read_summary, with_summary_colors
from ome_writers.formats.ometiff.parse_axes import (
    on_planned_axes,
    stored_dimensions,
    with_levels_of_page,
    with_tiles,
)
from ome_writers.formats.ometiff.parse_optics import (
    distinct_positions,
    parse_channels,
    parse_plate,
    parse_position,
)
from ome_writers.formats.ometiff.pixels_element import pixel_sizes
from ome_writers.formats.plan_spec import layout_of_plan
from ome_writers.formats.plates import stored_plate
from ome_writers.formats.stored_settings import own_dimensions, plan_from_settings, with_plan
from ome_writers.routing import Plan
from ome_writers.settings import Dimension
from ome_writers.units import UnitKind, kind_of, ngff_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


_AXIS_TYPES: dict[str, AxisType] = {
    "t": "time",
    "c": "channel",
    "z": "space",
    "y": "space",
    "x": "space",
}


class OmeXml(NamedTuple):
    """The OME-XML of a dataset."""

    # the root element, and the text; of a companion or master file if the first file only points to it
    xml: Element
    text: bytes
    file: Path  # the file that contains it
    first: Path  # the first TIFF file of the dataset
    page: FirstPage  # the first page of that file


def load_ome_xml(path: Path) -> OmeXml:
    """Return the OME-XML of a file, or of the set in a folder; a BinaryOnly element is followed.

    Raises UnsupportedError if there is no OME-XML, or the file that contains it is missing.
    """
    root = path if path.is_dir() else None
    first = first_tiff(path)
    page = read_first_page(first, root)
    file = metadata_file(page.description, first)
    text = page.description if file == first else read_ome_xml(file, first.parent)
    return OmeXml(parse_ome_xml(text, file), text, file, first, page)


def ome_xml(path: Path) -> bytes:
    """Return the OME-XML of a file, or of the set in a folder, as text."""
    return load_ome_xml(path).text


def files(path: Path) -> set[Path]:
    """Return the files that the OME-XML lists, and the companion files of a folder."""
    source = load_ome_xml(path)
    folder = source.first.parent
    uuids = source.xml.iterfind(".//{*}TiffData/{*}UUID")
    names = {uuid.get("FileName", "") for uuid in uuids}
    listed = {folder / name for name in names if name and Path(name).name == name}
    companions = folder.glob("*.companion.ome") if path.is_dir() else ()
    return {source.first, source.file, *listed, *companions}


def parse(path: Path) -> DatasetSpec:
    """Return what the OME-XML of an OME-TIFF contains: of a file, or of the set in a folder.

    Raises UnsupportedError if it has no OME-XML, or OME-XML without images.
    """
    return parse_document(load_ome_xml(path), path)[0]


def parse_document(source: OmeXml, path: Path) -> tuple[DatasetSpec, Plan | None]:
    """Return what an OME-XML of the dataset at `path` contains (see `parse`), and the plan of its settings."""
    xml, info = source.xml, _current_info(source)
    elements = image_elements(xml, source.first)
    summary = {} if info else read_summary(source.first)
    images = [_parse_image(*each, source) for each in elements]
    if summary:
        images = [with_summary_colors(image, summary) for image in images]
    plate, is_plate = None, xml.find("{*}Plate") is not None
    if is_plate:
        plate, images = parse_plate(xml, [e.get("ID", "") for e, _ in elements], images)
    images = distinct_positions(images)
    layout: DatasetLayout = "plate" if is_plate else "image" if len(images) == 1 else "collection"
    plan = _own_plan(info, len(images))
    if plan is None:
        endless = info.get("frames_expected", 0) is None
        images, dimensions = stored_dimensions(elements[0][0], images, endless=endless)
        images = [with_levels_of_page(image, images[0], source.page.levels) for image in images]
    else:
        images = [
            with_plan(on_planned_axes(image, planned), planned)
            for image, planned in zip(images, plan.images, strict=True)
        ]
        dimensions = own_dimensions(plan, images)
        plate = stored_plate(plan) if plan.settings.plate else None
        layout = layout_of_plan(plan)
    if any(source.page.tiles):
        images = [with_tiles(image, images[0], source.page.tiles) for image in images]
    status, written = info.get("status"), _count(info.get("frames_written"))
    if not isinstance(status, str):  # another program wrote it
        status, written = None, len(xml.findall(".//{*}Plane")) or None
    experiment = plan.settings.experiment if plan else None
    description = info.get("description", experiment and experiment.description)
    if not info:
        text = xml.findtext("{*}Image/{*}Description") or ""
        description = text.partition(ACQUISITION_ORDER)[0].strip()
    updated = info.get("updated")
    spec = DatasetSpec(
        path=path,
        format="ome-tiff",
        version=xml.tag.rpartition("}")[0].rpartition("/")[2],
        layout=layout,
        images=tuple(images),
        dimensions=tuple(dimensions),
        plate=plate,
        status=status,
        frames_written=written,
        frames_expected=_count(info.get("frames_expected")),
        started=_acquisition_date(xml, utc=status is not None),
        updated=str(updated) if updated else None,
        written_by=xml.get("Creator") or written_by(summary),
        settings=plan.settings if plan else None,
        metadata=user_annotations(xml) | ({NAMESPACE: summary} if summary else {}),
        description=str(description) if description else None,
    )
    return spec, plan


def _current_info(source: OmeXml) -> dict[str, Any]:
    """Return our annotation; while a set is written, only the first image's file counts the frames."""
    info = read_acquisition_annotation(source.xml)
    if info.get("status") == "writing" and source.file == source.first:
        uuid = source.xml.find("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")
        name = "" if uuid is None else Path(uuid.get("FileName", "")).name
        home = source.first.parent / name
        if name and home != source.first and home.is_file():
            return read_acquisition_annotation(
                parse_ome_xml(read_ome_xml(home, source.first.parent), home)
            )
    return info


def _parse_image(image: Element, pixels: Element, source: OmeXml) -> ImageSpec:
    found = pixel_sizes(pixels, source.first)
    names = (*found.axes.lower(), "y", "x")
    steps = [_step(pixels, name) for name in names]
    shape = tuple(found.sizes[name.upper()] for name in names)
    link = pixels.find("{*}TiffData/{*}UUID")
    key = (link.get("FileName") if link is not None else None) or source.first.name
    dimensions = tuple(
        Dimension(name=name, type=_AXIS_TYPES[name], unit=unit, count=n)
        for name, (_, unit), n in zip(names, steps, shape, strict=True)
    )
    level = LevelSpec(
        key=key,
        shape=shape,
        dtype=found.dtype.name,
        chunks=(1, 1, 1, *shape[-2:]),
        compression=compression_of_tag(source.page.compression),
        scale=tuple(scale for scale, _ in steps),
        translation=(0.0,) * len(names),
        dimensions=dimensions,
        samples=found.samples,
    )
    return ImageSpec(
        key=key,
        name=image.get("Name") or image.get("ID") or "",
        levels=(level,),
        channels=parse_channels(pixels, found.sizes["C"]),
        position=parse_position(image),
        index_axes=names[:-2],
    )


def _step(pixels: Element, axis: str) -> tuple[float | None, str | None]:
    """Return scale and unit of an axis; none where OME-XML has no length or time for it."""
    if axis == "c":
        return None, None
    kind: UnitKind = "time" if axis == "t" else "space"
    attribute = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
    unit = pixels.get(f"{attribute}Unit", "s" if axis == "t" else "µm")
    try:
        step = float(pixels.get(attribute, "0"))
    except ValueError:
        step = 0.0
    # "pixel" and "reference frame" are not lengths
    if not 0 < step < math.inf or kind_of(unit) != kind:
        return None, None
    return step, ngff_name(unit, kind)


def plan_of_annotation(info: dict[str, Any]) -> Plan:
    """Return the plan of the settings in our annotation; see `plan_from_settings`."""
    settings = info.get("settings")
    if isinstance(settings, dict) and isinstance(settings.get("format"), dict):
        # versions without this setting wrote strips
        settings = {**settings, "format": {"tile": None, **settings["format"]}}
    return plan_from_settings(settings)


def _own_plan(info: dict[str, Any], images: int) -> Plan | None:
    """Return the plan of the settings in our annotation; None where they do not describe these images."""
    try:
        plan = plan_of_annotation(info)
    except UnsupportedError:  # another program, or another version wrote the file
        return None
    return plan if len(plan.images) == images else None


def user_annotations(xml: Element) -> dict[str, dict[str, Any]]:
    """Return the pairs of each MapAnnotation of the whole acquisition, by namespace."""
    referenced = {element.get("ID") for element in xml.iterfind(".//{*}AnnotationRef")}
    found: dict[str, dict[str, Any]] = {}
    for annotation in xml.iterfind("{*}StructuredAnnotations/{*}MapAnnotation"):
        namespace = annotation.get("Namespace") or "annotation"
        if annotation.get("ID") in referenced or namespace in (OWN_NAMESPACE, FRAME_NAMESPACE):
            continue
        found.setdefault(namespace, {}).update(annotation_pairs(annotation))
    return found


def _acquisition_date(xml: Element, *, utc: bool) -> str | None:
    """Return the AcquisitionDate of the first image; `utc`: of ome-writers, which omits the time zone."""
    date = (xml.findtext("{*}Image/{*}AcquisitionDate") or "").strip()
    return f"{date}Z" if utc and len(date) == len("2026-01-01T00:00:00") else date or None


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
