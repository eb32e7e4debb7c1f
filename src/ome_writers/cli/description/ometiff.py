"""Description of an OME-TIFF from the OME-XML in its first file, without a TIFF library."""

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
    """Describe an OME-TIFF file, or the set of files in a directory.

    Raises
    ------
    UnsupportedError
        If it is not a TIFF, has no OME-XML, or refers to a missing companion file.
    """
    folder = path if path.is_dir() else path.parent
    first = first_tiff(path)
    page = read_first_page(first, path if path.is_dir() else None)
    xml = parse_ome_xml(page.description, first)
    if (pointer := xml.find("{*}BinaryOnly")) is not None:
        companion = referenced_metadata_file(folder, pointer.get("MetadataFile", ""))
        xml = parse_ome_xml(read_ome_xml(companion, folder), companion)
    compression = COMPRESSIONS.get(page.compression, f"compression {page.compression}")
    images = tuple(_image(*each, first, compression) for each in image_elements(xml, first))
    names = {uuid.get("FileName", "") for uuid in xml.iterfind(".//{*}TiffData/{*}UUID")}
    members = {folder / name for name in names if name and Path(name).name == name} | {first}
    members |= {file for file in folder.glob("*.companion.ome") if path.is_dir()}
    files, size = measure(members)
    plates = xml.find("{*}Plate") is not None
    facts = read_acquisition_annotation(xml)
    master = folder / Path(images[0].path).name if images else first
    if facts.get("status") == "writing" and pointer is None and master.is_file():
        # while a set is written, only the file of its first image counts the frames
        facts = read_acquisition_annotation(parse_ome_xml(read_ome_xml(master, folder), master))
    status, written = facts.get("status"), _count(facts.get("frames_written"))
    if not isinstance(status, str):  # a file of another writer
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
    axes, sizes = [], pixel_sizes(pixels, first)
    for letter in (*sizes.axes, "Y", "X"):
        size = sizes.sizes[letter] * (sizes.samples if letter == "C" else 1)
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
        dtype=sizes.dtype.name,
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
