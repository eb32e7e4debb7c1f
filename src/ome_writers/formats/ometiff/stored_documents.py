"""The OME-XML documents that an interrupted writer left, and the plan that they were written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ome_writers.dataset import ImageSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.ome_xml import (
    ROOT_UUID,
    axis_letters,
    dimension_order,
    image_elements,
    parse_ome_xml,
    read_acquisition_annotation,
    root_uuid,
    strip_progress,
)
from ome_writers.formats.ometiff.file_sets import ome_xml_files
from ome_writers.formats.ometiff.first_page import read_ome_xml
from ome_writers.formats.ometiff.layout import TiffSet, in_files, is_set, journal_keys
from ome_writers.formats.ometiff.parse import plan_of_annotation
from ome_writers.formats.ometiff.pixels_element import (
    PixelSizes,
    PlaneRun,
    pixel_sizes,
    plane_runs,
)
from ome_writers.routing import Plan


class StoredDocument:
    """One OME-XML document with all metadata; UnsupportedError if this library did not write it."""

    def __init__(self, text: bytes, file: Path) -> None:
        self.root = parse_ome_xml(text, file)
        self.info: dict[str, Any] = read_acquisition_annotation(self.root)
        if "status" not in self.info:
            raise UnsupportedError(
                f"{file} was not written by this library and cannot be repaired: its OME-XML does not contain the "
                f"status of the acquisition."
            )
        elements = image_elements(self.root, file)
        self._pixels = [pixels for _, pixels in elements]
        self.sizes = [pixel_sizes(pixels, file) for pixels in self._pixels]
        self._file = file

    @property
    def status(self) -> str:
        return str(self.info["status"])

    def has_planes(self, image: int) -> bool:
        """Whether the document contains Plane elements of an image."""
        return self._pixels[image].find("{*}Plane") is not None

    def files(self) -> list[str]:
        """Return the file name of each image; empty for the file that contains the document."""
        links = (pixels.find("{*}TiffData/{*}UUID") for pixels in self._pixels)
        return ["" if link is None else link.get("FileName", "") for link in links]

    def plane_runs(self, image: int) -> Iterator[PlaneRun]:
        """Yield the TiffData of an image."""
        return plane_runs(self._pixels[image], self.sizes[image], self._file)

    def shape(self, image: ImageSpec) -> tuple[int, ...]:
        """Return the shape of an image in storage order."""
        shape = list(image.shape)
        for letter, axis in axis_letters(image).items():
            shape[axis] = self.sizes[image.number].sizes[letter]
        return tuple(shape)


@dataclass(frozen=True)
class StoredDocuments:
    """The documents of an OME-TIFF."""

    plan: Plan
    layout: Layout
    files: TiffSet  # the files and their UUIDs (empty if they do not have one)
    # Document number to the text with all metadata, and to its content. Texts that differ only in the UUID have the
    # same content.
    texts: Mapping[int, bytes]
    documents: Mapping[int, StoredDocument]

    @property
    def latest(self) -> StoredDocument:
        """The first document that is still being written; the first of all if the writer had closed each."""
        return _latest(list(self.documents.values()))

    @property
    def began(self) -> datetime | None:
        """When the acquisition began."""
        return _time(self.latest.root.findtext("{*}Image/{*}AcquisitionDate"))

    @property
    def updated(self) -> datetime | None:
        """When the frames were last counted."""
        return _time(self.latest.info.get("updated"))

    @property
    def closed(self) -> StoredDocument | None:
        """The first document with a final status; None if the writer had not begun to close."""
        return next((d for d in self.documents.values() if d.status != "writing"), None)


def load_documents(root: Path) -> StoredDocuments:
    """Return the documents of an OME-TIFF, a file or the folder of a set.

    Raises UnsupportedError if it was not written by this library, or by a version whose settings are not supported; if
    it is one file of a set, or another program has rewritten it.
    """
    in_folder = root.is_dir()
    folder = root if in_folder else root.parent
    limit = folder if in_folder else None
    texts = {path.name: read_ome_xml(path, limit) for path in ome_xml_files(root)}
    distinct: dict[bytes, StoredDocument] = {}
    complete: dict[str, StoredDocument] = {}
    for name, text in texts.items():
        if b"<BinaryOnly" not in text[:4096]:
            key = strip_progress(ROOT_UUID.sub(rb"\1", text, count=1))
            distinct[key] = distinct.get(key) or StoredDocument(text, folder / name)
            complete[name] = distinct[key]
    names = {name for document in distinct.values() for name in document.files()}
    if not complete or any(Path(n).name != n or (n and not in_folder) for n in names):
        raise UnsupportedError(
            f"{root} is one file of a set: repair the folder {root.parent} instead."
        )
    latest = _latest(list(complete.values()))
    files = tuple(name or root.name for name in latest.files())
    numbers = {name: files.index(name) for name in dict.fromkeys(files)}
    companion = next((n for n in complete if n.lower().endswith(".companion.ome")), None)
    if companion is not None:
        numbers = {companion: -1, **numbers}
    for name, document in complete.items():
        if name not in numbers or len(document.sizes) != len(files):
            raise UnsupportedError(
                f"{folder / name} cannot be repaired: its OME-XML is not that of {next(iter(complete))}. Move files "
                f"that are not part of the dataset to another folder. Nothing was changed."
            )
    layout = Layout(folder, root, journal_keys(files, in_folder=in_folder))
    plan = _own_plan(latest, root)
    if (
        len(plan.images) != len(files)
        or is_set(plan) != in_folder
        or not all(map(_fits, plan.images, latest.sizes))
    ):
        raise UnsupportedError(
            f"{root} cannot be repaired: the images in its OME-XML differ from the settings that the dataset was "
            f"written with. Another program has rewritten it. Nothing was changed."
        )
    keys = {number: name for name, number in numbers.items()}
    uuids = {number: root_uuid(texts.get(name, b"")) for name, number in numbers.items()}
    complete_numbers = tuple(n for n, name in keys.items() if name in complete)
    others = tuple(n for n, name in keys.items() if name not in complete)
    return StoredDocuments(
        in_files(plan, files),
        layout,
        TiffSet(keys, uuids, complete_numbers, others),
        {n: texts[keys[n]] for n in complete_numbers},
        {n: complete[keys[n]] for n in complete_numbers},
    )


def _own_plan(document: StoredDocument, root: Path) -> Plan:
    try:
        return plan_of_annotation(document.info)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{root} was written by another version of this library, whose settings are not supported: {error}"
        ) from error


def _latest(documents: Sequence[StoredDocument]) -> StoredDocument:
    return next((d for d in documents if d.status == "writing"), documents[0])


def _time(text: object) -> datetime | None:
    """Return a time in UTC; None if it is not one."""
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(str(text).removesuffix("Z")).replace(tzinfo=timezone.utc)
    return None


def _fits(image: ImageSpec, found: PixelSizes) -> bool:
    """Return whether a Pixels element may be that of an image; incomplete acquisitions are shorter than planned."""
    array, axes = image.array, axis_letters(image)
    planned = {letter: array.shape[axis] for letter, axis in axes.items()}
    return (
        dimension_order(image)[:1:-1] == found.axes
        and (found.dtype, found.samples) == (array.numpy_dtype, array.samples)
        and (found.sizes["Y"], found.sizes["X"]) == array.frame_shape
        and all(
            axes.get(letter, -1) == array.growing or found.sizes[letter] <= planned.get(letter, 1)
            for letter in "TCZ"
        )
    )
