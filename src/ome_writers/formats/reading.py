"""The frames' metadata read back, wherever it lies: in the documents, or still in the journals."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ome_writers.errors import UnsupportedError
from ome_writers.formats.frame_metadata import JOURNAL_NAME, latest, read_lines
from ome_writers.formats.location import documents_in
from ome_writers.formats.ome_xml.annotations import acquisition_facts, value_of
from ome_writers.formats.ometiff.first_page import ome_xml_text, parsed
from ome_writers.formats.omezarr.groups import group_attributes, image_groups, read_document
from ome_writers.units import kind_of, ngff_name, si_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike
    from xml.etree.ElementTree import Element

    from ome_writers.units import UnitKind

    Frames = list[dict[str, Any]]

__all__ = ["ome_xml", "read_frame_metadata"]

_PLANE_KEYS = {
    "DeltaT": "delta_t",
    "ExposureTime": "exposure_time",
    "PositionX": "position_x",
    "PositionY": "position_y",
    "PositionZ": "position_z",
}


def read_frame_metadata(path: str | PathLike[str]) -> Frames:
    """Return what was given as `frame_metadata` with each frame of a dataset, written or still being written.

    Parameters
    ----------
    path
        An OME-Zarr (or one image's group in it), an OME-TIFF (a file or a folder of files), or a
        scratch store.

    Returns
    -------
    list of dict
        One dict for each frame that came with metadata, image by image. ``storage_index`` is its place in the
        image: in storage order without y and x; in OME-TIFF always the three of T, C and Z, in the order of its
        DimensionOrder, slowest first. In a dataset of several images ``image`` says which: the
        group's path in OME-Zarr, else the position's number. Of a place that was written twice the
        later frame is listed.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    UnsupportedError
        If it is none of the three.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    if path.is_dir():
        for mark, read in _FOLDERS.items():
            if (path / mark).is_file():
                return read(path)
        if documents := documents_in(path):
            return _tiff(documents[0])
    elif path.suffix.lower() in (".tif", ".tiff", ".ome"):
        return _tiff(path)
    raise UnsupportedError(f"{path} is no OME-Zarr 0.5, OME-TIFF or scratch store.")


def _zarr(root: Path) -> Frames:
    groups = image_groups(root)
    found: Frames = []
    for group in groups:
        folder = root / group
        ours = group_attributes(folder).get("ome_writers", {})
        frames = ours.get("frame_metadata")
        # the document says that it is in the journal, or nothing yet
        if not isinstance(frames, list):
            frames = latest(read_lines(folder / JOURNAL_NAME))
        found += ({**frame, "image": group} for frame in frames) if len(groups) > 1 else frames
    return found


def _scratch(root: Path) -> Frames:
    several = len(read_document(root / "manifest.json").get("position_shapes", ())) > 1
    frames: dict[tuple[int, tuple[int, ...]], dict[str, Any]] = {}
    for entry in map(from_json, read_lines(root / JOURNAL_NAME)):
        image, index = entry.pop("_pos"), entry.pop("_idx")
        place = {"storage_index": index, **entry}
        frames[(image, tuple(index))] = {**place, "image": image} if several else place
    return [frames[key] for key in sorted(frames)]


_FOLDERS: dict[str, Callable[[Path], Frames]] = {"zarr.json": _zarr, "manifest.json": _scratch}


def ome_xml(path: Path) -> Element:
    """Return the OME-XML of an OME-TIFF: a file, or the folder of a set; a companion file is followed.

    Raises
    ------
    UnsupportedError
        If there is none, or the file that holds it is not there.
    """
    file = path
    if path.is_dir():
        documents = documents_in(path)
        if not documents:
            raise UnsupportedError(f"{path} holds no OME-TIFF.")
        file = documents[0]
    xml = parsed(ome_xml_text(file), file)
    pointer = xml.find("{*}BinaryOnly")
    if pointer is not None:
        name = pointer.get("MetadataFile", "")
        if Path(name).name != name or not (file.parent / name).is_file():
            raise UnsupportedError(
                f"{file} says that its metadata is in {name!r}, which is not there."
            )
        xml = parsed(ome_xml_text(file.parent / name), file.parent / name)
    return xml


def _tiff(file: Path) -> Frames:
    xml = ome_xml(file)
    annotations = {
        a.get("ID"): a for a in xml.iterfind("{*}StructuredAnnotations/{*}MapAnnotation")
    }
    images = xml.findall("{*}Image")
    axes = str(acquisition_facts(xml).get("axes", ""))
    found: Frames = []
    for number, image in enumerate(images):
        pixels = image.find("{*}Pixels")
        if pixels is not None:
            frames = list(_planes(pixels, annotations)) or _journalled(file, pixels, number, axes)
            found += ({**f, "image": number} for f in frames) if len(images) > 1 else frames
    return found


def _planes(pixels: Element, annotations: dict[str | None, Element]) -> Iterator[dict[str, Any]]:
    order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]  # of T, C and Z, slowest first
    for plane in pixels.iterfind("{*}Plane"):
        index = [int(plane.get(f"The{letter}", 0)) for letter in order]
        entry: dict[str, Any] = {"storage_index": index}
        for attribute, key in _PLANE_KEYS.items():
            if value := plane.get(attribute):
                unit = plane.get(f"{attribute}Unit")
                entry[key] = float(value) * (1.0 if unit is None else _factor(attribute, unit))
        for reference in plane.iterfind("{*}AnnotationRef"):
            annotation = annotations.get(reference.get("ID"))
            for pair in annotation.iterfind("{*}Value/{*}M") if annotation is not None else ():
                entry[pair.get("K", "")] = value_of(pair.text or "")
        yield entry


@cache
def _factor(attribute: str, unit: str) -> float:
    """Return how many seconds or micrometers a unit is; 1 where it is neither (``reference frame``)."""
    kind: UnitKind = "space" if attribute.startswith("Position") else "time"
    if kind_of(unit) != kind:
        return 1.0
    name = ngff_name(unit, kind)
    standard = {"space": "micrometer", "time": "second"}[kind]
    return 1.0 if name == standard else si_value(name) / si_value(standard)


def _journalled(file: Path, pixels: Element, number: int, axes: str) -> Frames:
    """Return what is in the journal of an image whose file is not finished: beside the file, by its name.

    `axes` are the letters of a place in the journal, where they are not the last ones of the DimensionOrder.
    """
    order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]
    link = pixels.find("{*}TiffData/{*}UUID")
    name = Path(link.get("FileName", file.name) if link is not None else file.name).name
    for journal in (f"{name}.jsonl", f".{name}.{number}.jsonl", f".{name}.jsonl"):
        if (file.parent / journal).is_file():
            frames = latest(read_lines(file.parent / journal))
            for frame in frames:
                index = frame["storage_index"]
                # axes that the image does not have come first in its DimensionOrder
                places = dict(zip(axes or order[3 - len(index) :], index, strict=False))
                frame["storage_index"] = [places.get(letter, 0) for letter in order]
            return frames
    return []
