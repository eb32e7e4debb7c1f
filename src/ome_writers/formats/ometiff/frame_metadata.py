"""Frame metadata of an OME-TIFF: Plane elements and annotations, or the journals of a dataset that is not closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import ImageSpec
from ome_writers.formats.frame_metadata import latest_entries
from ome_writers.formats.ome_xml import (
    PLANE_ATTRIBUTES,
    annotation_pairs,
    axis_letters,
    dimension_order,
    read_acquisition_annotation,
)
from ome_writers.formats.ometiff.micromanager import read_page_metadata, read_summary
from ome_writers.formats.ometiff.parse import load_ome_xml
from ome_writers.units import UnitKind, standard_size
from ome_writers.untrusted import read_lines

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    Frames = list[dict[str, Any]]


def index_axes(image: ImageSpec) -> tuple[str | None, ...]:
    """Return the names of the axes T, C and Z in DimensionOrder, slowest first; None for one the image lacks."""
    axes = axis_letters(image)
    names = image.dims
    return tuple(names[axes[c]] if c in axes else None for c in dimension_order(image)[:1:-1])


def read_frames(path: Path) -> list[tuple[int, Frames]]:
    """Return number and frame metadata of each image: of a file, or of the set in a folder."""
    source = load_ome_xml(path)
    xml = source.xml
    annotations = {
        a.get("ID"): a for a in xml.iterfind("{*}StructuredAnnotations/{*}MapAnnotation")
    }
    images = xml.findall("{*}Image")
    info = read_acquisition_annotation(xml)
    is_micromanager = not info and bool(read_summary(source.first))
    axes = str(info.get("axes", ""))
    found: list[tuple[int, Frames]] = []
    for number, image in enumerate(images):
        pixels = image.find("{*}Pixels")
        if pixels is not None:
            frames = list(_planes(pixels, annotations)) or _from_journal(
                source.first, pixels, number, axes
            )
            if is_micromanager:
                pages = read_page_metadata(pixels, source.first)
                frames = [{**pages.pop(tuple(f["storage_index"]), {}), **f} for f in frames]
                frames += pages.values()
            found.append((number, frames))
    return found


def _planes(pixels: Element, annotations: dict[str | None, Element]) -> Iterator[dict[str, Any]]:
    order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]  # T, C and Z, slowest first
    for plane in pixels.iterfind("{*}Plane"):
        index = [int(plane.get(f"The{letter}", 0)) for letter in order]
        entry: dict[str, Any] = {"storage_index": index}
        for key, (attribute, standard_unit) in PLANE_ATTRIBUTES.items():
            if value := plane.get(attribute):
                kind: UnitKind = "time" if standard_unit == "s" else "space"
                entry[key] = float(value) * standard_size(plane.get(f"{attribute}Unit"), kind)
        for reference in plane.iterfind("{*}AnnotationRef"):
            annotation = annotations.get(reference.get("ID"))
            if annotation is not None:
                entry |= annotation_pairs(annotation)
        yield entry


def _from_journal(file: Path, pixels: Element, number: int, axes: str) -> Frames:
    """Return the entries of an unfinished image's journal, which is beside its file.

    `axes` are the letters of a storage index in the journal, if not the last ones of the DimensionOrder.
    """
    order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]
    link = pixels.find("{*}TiffData/{*}UUID")
    name = Path(link.get("FileName", file.name) if link is not None else file.name).name
    for journal in (f"{name}.jsonl", f".{name}.{number}.jsonl", f".{name}.jsonl"):
        if (file.parent / journal).is_file():
            frames = latest_entries(read_lines(file.parent / journal, root=file.parent))
            for frame in frames:
                index = frame["storage_index"]
                # Axes that the image does not have precede the others in DimensionOrder.
                by_letter = dict(zip(axes or order[3 - len(index) :], index, strict=False))
                frame["storage_index"] = [by_letter.get(letter, 0) for letter in order]
            return frames
    return []
