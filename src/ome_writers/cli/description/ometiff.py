"""Describes an OME-TIFF from the OME-XML in its first file; no library is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.cli.description.description import Axis, Description, ImageDescription, measure
from ome_writers.formats import first_tiff
from ome_writers.formats.ome_xml import read_acquisition_annotation
from ome_writers.formats.ometiff import (
    image_elements,
    parse_ome_xml,
    pixel_sizes,
    read_first_page,
    read_ome_xml,
    referenced_metadata_file,
)
from ome_writers.units import kind_of, ngff_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

COMPRESSIONS = {1: "not compressed", 5: "lzw", 8: "deflate", 32946: "deflate", 50000: "zstd"}


def describe_tiff(path: Path) -> Description:
    """Read the OME-XML of a file, or of the set that a folder holds.

    Raises
    ------
    UnsupportedError
        It is no TIFF, holds no OME-XML, or points to a file that is not there.
    """
    folder = path if path.is_dir() else path.parent
    first = first_tiff(path)
    page = read_first_page(first, path if path.is_dir() else None)
    xml = parse_ome_xml(page.description, first)
    if (pointer := xml.find("{*}BinaryOnly")) is not None:
        document = referenced_metadata_file(folder, pointer.get("MetadataFile", ""))
        xml = parse_ome_xml(read_ome_xml(document, folder), document)
    compression = COMPRESSIONS.get(page.compression, f"compression {page.compression}")
    images = tuple(_image(*each, first, compression) for each in image_elements(xml, first))
    named = {uuid.get("FileName", "") for uuid in xml.iterfind(".//{*}TiffData/{*}UUID")}
    members = {folder / name for name in named if name and Path(name).name == name} | {first}
    members |= {file for file in folder.glob("*.companion.ome") if path.is_dir()}
    files, size = measure(members)
    plates = xml.find("{*}Plate") is not None
    facts = read_acquisition_annotation(xml)
    home = folder / Path(images[0].path).name if images else first
    if facts.get("status") == "writing" and pointer is None and home != first and home.is_file():
        # of the files of a set, only the first one counts the frames while they are written
        facts = read_acquisition_annotation(parse_ome_xml(read_ome_xml(home, folder), home))
    status, written = facts.get("status"), _count(facts.get("frames_written"))
    if not isinstance(status, str):  # another writer's file
        status, written = None, len(xml.findall(".//{*}Plane")) or None
    return Description(
        path=str(path),
        format="OME-TIFF",
        layout="plate" if plates else "image" if len(images) == 1 else "collection",
        status=status,
        frames_written=written,
        frames_expected=_count(facts.get("frames_expected")),
        written_by=xml.get("Creator"),
        files=files,
        bytes_on_disk=size,
        images=images,
        updated=facts.get("updated"),
    )


def _image(image: Element, pixels: Element, first: Path, compression: str) -> ImageDescription:
    axes, found = [], pixel_sizes(pixels, first)
    for letter in (*found.axes, "Y", "X"):
        size = found.sizes[letter] * (found.samples if letter == "C" else 1)
        if size > 1 or letter in "XY":
            increment = "TimeIncrement" if letter == "T" else f"PhysicalSize{letter}"
            value = pixels.get(increment)
            unit = pixels.get(f"{increment}Unit", "s" if letter == "T" else "µm")
            kind = kind_of(unit)
            unit = ngff_name(unit, kind) if kind else unit
            scale = _number(value)
            axes.append(Axis(letter.lower(), size, scale, unit if scale else None))
    link = pixels.find("{*}TiffData/{*}UUID")
    channels = pixels.findall("{*}Channel")
    return ImageDescription(
        path=(link.get("FileName") if link is not None else None) or first.name,
        name=_name(image),
        axes=tuple(axes),
        dtype=found.dtype.name,
        channels=tuple(map(_name, channels)),
        storage=compression,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _name(element: Element) -> str:
    return element.get("Name", "") or element.get("ID", "")


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
