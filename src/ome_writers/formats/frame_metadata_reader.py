"""Reading of frame metadata, whether it is embedded in the dataset's metadata or still in journals."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.detection import ome_xml_files
from ome_writers.formats.frame_metadata import JOURNAL_NAME, latest_entries
from ome_writers.formats.ome_xml.annotations import parse_value, read_acquisition_annotation
from ome_writers.formats.ometiff.entry_file import resolve_entry_file
from ome_writers.formats.ometiff.first_page import (
    parse_ome_xml,
    read_ome_xml,
    referenced_metadata_file,
)
from ome_writers.formats.omezarr.group_metadata import (
    image_groups,
    ome_writers_attributes,
    read_json_object,
)
from ome_writers.units import kind_of, ngff_name, si_value
from ome_writers.untrusted import (
    MAX_IMAGES,
    check_count,
    guard_reader,
    is_archive,
    parse_json,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike
    from xml.etree.ElementTree import Element

    from ome_writers.units import UnitKind

    Frames = list[dict[str, Any]]

__all__ = ["frame_metadata_by_image", "read_dataset_ome_xml", "read_frame_metadata"]

_PLANE_KEYS = {
    "DeltaT": "delta_t",
    "ExposureTime": "exposure_time",
    "PositionX": "position_x",
    "PositionY": "position_y",
    "PositionZ": "position_z",
}


def read_frame_metadata(path: str | PathLike[str]) -> Frames:
    """Return the `frame_metadata` of each frame in a dataset that is finished or still being written.

    Parameters
    ----------
    path
        An OME-Zarr (or the group of one image in it), an OME-TIFF (a file, or the folder of a set), or a scratch
        store.

    Returns
    -------
    list of dict
        One dict per frame with metadata, image by image. ``storage_index`` is its index in the image, in storage order
        without y and x; in OME-TIFF the three indices of T, C and Z in DimensionOrder, slowest first. In a dataset of
        several images, ``image`` is the path of the group in OME-Zarr, otherwise the number of the position; it is
        called ``image_`` if any frame has a key ``image``. For an index that was written twice, the later frame is
        listed.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If `path` is none of these. InvalidFileError if it is damaged, or not safe to read.
    """
    by_image = frame_metadata_by_image(path)
    if len(by_image) == 1:
        return by_image[0][1]
    key = "image"
    while any(key in frame for _, frames in by_image for frame in frames):
        key += "_"
    return [{**frame, key: image} for image, frames in by_image for frame in frames]


def frame_metadata_by_image(path: str | PathLike[str]) -> list[tuple[str | int, Frames]]:
    """Return frame metadata by image: the path of its group in OME-Zarr, otherwise its number."""
    path = resolve_entry_file(Path(path))
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    with guard_reader(path):
        if path.is_dir():
            for marker, read in _READERS_BY_MARKER.items():
                if (path / marker).is_file():
                    return read(path)
            if candidates := ome_xml_files(path):
                return _tiff(candidates[0], path)
        elif is_archive(path):
            return _zarr(path)
        elif path.suffix.lower() in (".tif", ".tiff", ".ome"):
            return _tiff(path)
    raise UnsupportedError(f"{path} is not an OME-Zarr, an OME-TIFF or a scratch store.")


def _zarr(root: Path) -> list[tuple[str | int, Frames]]:
    found: list[tuple[str | int, Frames]] = []
    for group in image_groups(root):
        folder = root / group
        frames = ome_writers_attributes(folder, root).get("frame_metadata")
        if not isinstance(frames, list):  # in the journal
            frames = latest_entries(read_lines(folder / JOURNAL_NAME, root=root))
        found.append((group, [frame for frame in frames if isinstance(frame, dict)]))
    return found


def _scratch(root: Path) -> list[tuple[str | int, Frames]]:
    images = read_json_object(root / "manifest.json").get("position_shapes")
    count = len(images) if isinstance(images, list) else 1
    check_count(count, f"{root}: the number of images", MAX_IMAGES)
    found: dict[int, dict[tuple[int, ...], dict[str, Any]]] = {n: {} for n in range(count)}
    for line in read_lines(root / JOURNAL_NAME, root=root):
        entry = parse_json(line, root / JOURNAL_NAME)
        image, index = entry.pop("_pos"), entry.pop("_idx")
        found[image][tuple(index)] = {"storage_index": index, **entry}
    return [(n, [frames[key] for key in sorted(frames)]) for n, frames in found.items()]


_READERS_BY_MARKER: dict[str, Callable[[Path], list[tuple[str | int, Frames]]]] = {
    "zarr.json": _zarr,
    "manifest.json": _scratch,
}


def read_dataset_ome_xml(path: Path) -> Element:
    """Return the OME-XML of an OME-TIFF (a file, or the folder of a set), following BinaryOnly.

    Raises
    ------
    UnsupportedError
        If there is none, or the file that contains it does not exist.
    """
    file, root = path, None
    if path.is_dir():
        root = path
        candidates = ome_xml_files(path)
        if not candidates:
            raise UnsupportedError(f"{path} does not contain OME-TIFF files.")
        file = candidates[0]
    xml = parse_ome_xml(read_ome_xml(file, root), file)
    binary_only = xml.find("{*}BinaryOnly")
    if binary_only is not None:
        other = referenced_metadata_file(file.parent, binary_only.get("MetadataFile", ""))
        xml = parse_ome_xml(read_ome_xml(other, file.parent), other)
    return xml


def _tiff(file: Path, root: Path | None = None) -> list[tuple[str | int, Frames]]:
    xml = read_dataset_ome_xml(root or file)
    annotations = {
        a.get("ID"): a for a in xml.iterfind("{*}StructuredAnnotations/{*}MapAnnotation")
    }
    images = xml.findall("{*}Image")
    axes = str(read_acquisition_annotation(xml).get("axes", ""))
    found: list[tuple[str | int, Frames]] = []
    for number, image in enumerate(images):
        pixels = image.find("{*}Pixels")
        if pixels is not None:
            frames = list(_planes(pixels, annotations)) or _from_journal(file, pixels, number, axes)
            found.append((number, frames))
    return found


def _planes(pixels: Element, annotations: dict[str | None, Element]) -> Iterator[dict[str, Any]]:
    order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]  # T, C and Z, slowest first
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
                entry[pair.get("K", "")] = parse_value(pair.text or "")
        yield entry


@cache
def _factor(attribute: str, unit: str) -> float:
    """Return a unit in seconds or micrometers; 1 for other units (``reference frame``)."""
    kind: UnitKind = "space" if attribute.startswith("Position") else "time"
    if kind_of(unit) != kind:
        return 1.0
    name = ngff_name(unit, kind)
    standard = {"space": "micrometer", "time": "second"}[kind]
    return 1.0 if name == standard else si_value(name) / si_value(standard)


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
