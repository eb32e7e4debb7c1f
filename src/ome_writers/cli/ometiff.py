"""Describes an OME-TIFF from the OME-XML in its first file; no library is needed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ome_writers.cli.command import CommandError
from ome_writers.cli.description import Axis, Description, ImageDescription, measure

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

IMAGE_DESCRIPTION, COMPRESSION = 270, 259
COMPRESSIONS = {1: "not compressed", 5: "lzw", 8: "deflate", 32946: "deflate", 50000: "zstd"}
# Bytes of the value types of TIFF 6.0 and BigTIFF that the two tags above may have.
SIZES = {2: 1, 3: 2, 4: 4, 16: 8}
DTYPES = {"float": "float32", "double": "float64", "complex": "complex64"}
DTYPES["double-complex"] = "complex128"


def describe_tiff(path: Path) -> Description:
    """Read the OME-XML of a file, or of the set that a folder holds.

    Raises
    ------
    CommandError
        It is no TIFF, holds no OME-XML, or points to a file that is not there.
    """
    folder = path if path.is_dir() else path.parent
    first = _first_file(path)
    text, compression = _first_page(first)
    xml = _parse(text, first)
    if (pointer := xml.find("{*}BinaryOnly")) is not None:
        document = folder / pointer.get("MetadataFile", "")
        if not document.is_file():
            raise CommandError(f"{first} points to {document} for its metadata; it is not there")
        is_xml = document.suffix.lower() == ".ome"
        xml = _parse(
            document.read_text(encoding="utf-8") if is_xml else _first_page(document)[0], document
        )
    images = tuple(_image(image, first, compression) for image in xml.findall("{*}Image"))
    named = {uuid.get("FileName", "") for uuid in xml.iterfind(".//{*}TiffData/{*}UUID")}
    members = {folder / name for name in named if name} | {first}
    members |= {file for file in folder.glob("*.companion.ome") if path.is_dir()}
    files, size = measure(members)
    plates = xml.find("{*}Plate") is not None
    planes = len(xml.findall(".//{*}Plane"))
    return Description(
        path=str(path),
        format="OME-TIFF",
        layout="plate" if plates else "image" if len(images) == 1 else "collection",
        status=_annotated(xml, "status"),
        frames_written=planes or None,
        frames_expected=None,
        written_by=xml.get("Creator"),
        files=files,
        bytes_on_disk=size,
        images=images,
    )


def _first_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(file for file in path.iterdir() if file.name.endswith((".tif", ".tiff")))
    if not files:
        raise CommandError(f"{path} holds neither an OME-Zarr nor TIFF files")
    return files[0]


def _parse(text: str, path: Path) -> Element:
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CommandError(f"{path} holds no OME-XML: {error}") from None


def _image(image: Element, first: Path, compression: str) -> ImageDescription:
    pixels = image.find("{*}Pixels")
    if pixels is None:
        raise CommandError(f"{first}: an Image of its OME-XML has no Pixels")
    axes = []
    for letter in reversed(pixels.get("DimensionOrder", "XYZCT")):
        size = int(pixels.get(f"Size{letter}", "1"))
        if size > 1 or letter in "XY":
            increment = "TimeIncrement" if letter == "T" else f"PhysicalSize{letter}"
            value = pixels.get(increment)
            unit = pixels.get(f"{increment}Unit", "s" if letter == "T" else "µm")
            scale = float(value) if value else None
            axes.append(Axis(letter.lower(), size, scale, unit if scale else None))
    kind = pixels.get("Type", "")
    link = pixels.find("{*}TiffData/{*}UUID")
    channels = pixels.findall("{*}Channel")
    return ImageDescription(
        path=(link.get("FileName") if link is not None else None) or first.name,
        name=_name(image),
        axes=tuple(axes),
        dtype=DTYPES.get(kind, kind),
        channels=tuple(map(_name, channels)),
        storage=compression,
    )


def _name(element: Element) -> str:
    return element.get("Name", "") or element.get("ID", "")


def _annotated(xml: Element, key: str) -> str | None:
    """Return one value of this library's own annotation, without the quotes of its JSON."""
    for annotation in xml.iterfind(".//{*}MapAnnotation"):
        if annotation.get("Namespace") in ("ome_writers", "ome-writers"):
            for entry in annotation.iterfind(".//{*}M"):
                if entry.get("K") == key:
                    return (entry.text or "").strip('"') or None
    return None


def _first_page(path: Path) -> tuple[str, str]:
    """Return the description and the compression of a TIFF's first page.

    The layout is that of TIFF 6.0 (section 2) and of the BigTIFF extension: an 8- or 16-byte
    header, then a directory of 12- or 20-byte entries.
    """
    try:
        return _read_first_page(path)
    except (struct.error, OverflowError):
        raise CommandError(f"{path} is no whole TIFF: it ends inside its first page") from None


def _read_first_page(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) == 16 else 0
        if version not in (42, 43):
            raise CommandError(f"{path} is no TIFF")
        big = version == 43
        offset_code, count_code, entry_size = ("Q", "Q", 20) if big else ("I", "H", 12)
        (start,) = struct.unpack_from(f"{order}{offset_code}", head, 8 if big else 4)
        file.seek(start)
        (count,) = struct.unpack(f"{order}{count_code}", file.read(8 if big else 2))
        directory = file.read(count * entry_size)
        description, compression = "", "not compressed"
        for position in range(0, len(directory), entry_size):
            tag, kind, length = struct.unpack_from(f"{order}HH{offset_code}", directory, position)
            value = position + (12 if big else 8)
            if tag == COMPRESSION:
                (code,) = struct.unpack_from(f"{order}H", directory, value)
                compression = COMPRESSIONS.get(code, f"compression {code}")
            elif tag == IMAGE_DESCRIPTION and kind in SIZES:
                if length <= (8 if big else 4):
                    raw = directory[value : value + length]
                else:
                    file.seek(struct.unpack_from(f"{order}{offset_code}", directory, value)[0])
                    raw = file.read(length)
                description = raw.rstrip(b"\0").decode("utf-8", "replace")
    return description, compression
