"""An OME-TIFF on disk, finished or still growing, as the source of views.

Source: https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html (TiffData, BinaryOnly).
"""

from __future__ import annotations

import bisect
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.formats import first_tiff
from ome_writers.formats.ome_xml import (
    frames_written_in,
    read_acquisition_annotation,
    strip_progress,
)
from ome_writers.formats.ometiff import (
    PlaneRun,
    image_elements,
    parse_ome_xml,
    pixel_sizes,
    plane_runs,
    read_ome_xml,
    referenced_metadata_file,
)
from ome_writers.untrusted import member
from ome_writers.views.file_changes import FileChanges
from ome_writers.views.live_pages import LivePages
from ome_writers.views.stacked import StackedSource
from ome_writers.views.summary import Summary

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ome_writers.views.source import Source

__all__ = ["open_tiff"]

_SUFFIXES = (".tif", ".tiff")


def open_tiff(path: Path) -> Source:
    """Return the images of an OME-TIFF file, or of the set that a folder holds.

    Axes are those that the file names, slowest first; of length 1 in all images they are left out, but for the time
    of a dataset that was written without a planned end. Several images lie along a first axis ``p``.

    Raises
    ------
    UnsupportedError
        If it is no OME-TIFF.
    EngineMissingError
        If tifffile is not installed.
    """
    dataset = _Dataset(path)
    images = dataset.images()
    first = images[0]
    growing = "T" if dataset.endless() else ""
    hull = {c: max(i.sizes[i.axes.index(c)] for i in images) for c in first.axes}
    letters = [c for c in first.axes if hull[c] > 1 or c == growing]
    arrays = [_TiffArray(dataset, number, letters) for number in range(len(images))]
    labels = [*map(str.lower, letters), "y", "x", *("s" if first.samples > 1 else "")]
    names: dict[str, list[str]] = {"p": [image.name for image in images], "c": list(first.channels)}
    several = len(images) > 1
    return StackedSource(
        arrays,
        0 if several else None,
        labels=("p", *labels) if several else labels,
        names=names,
        samples=first.samples > 1,
        summary=lambda: dataset.summary(path),
    )


@dataclass(frozen=True)
class _Image:
    """What the OME-XML says of one image."""

    name: str
    axes: str
    sizes: tuple[int, ...]
    frame: tuple[int, ...]
    samples: int
    dtype: np.dtype[np.generic]
    channels: tuple[str, ...]
    blocks: tuple[PlaneRun, ...]


class _Dataset:
    """The files of one dataset, and what their OME-XML says at the moment."""

    def __init__(self, path: Path) -> None:
        self._is_set = path.is_dir()
        self.folder = path if self._is_set else path.parent
        self._first = first_tiff(path)
        self._files: dict[str, LivePages] = {}
        self._lock = threading.Lock()
        self._text: bytes | None = None
        self._facts: dict[str, Any] = {}
        self._images: list[_Image] = []
        self._companions: dict[Path, tuple[FileChanges, bytes]] = {}

    def file(self, name: str) -> LivePages:
        """Return a file of the set."""
        with self._lock:
            name = name or self._first.name
            if name not in self._files:
                path, root = self._first, None
                if path.name != name or self._is_set:
                    path, root = member(self.folder, name), self.folder
                self._files[name] = LivePages(path, root)
            return self._files[name]

    def endless(self) -> bool:
        """Whether this library wrote the dataset, and there was no planned number of frames."""
        self.images()
        return self._facts.get("frames_expected", 0) is None

    def summary(self, path: Path) -> Summary:
        """Return what our own annotation says of the dataset."""
        self.images()
        counts = {"written": self._facts.get("frames_written")}
        counts["expected"] = self._facts.get("frames_expected")
        return Summary.of(path, self._facts.get("status"), counts)

    def images(self) -> list[_Image]:
        """Return all images as the OME-XML describes them now."""
        text = self._document(self.file(self._first.name).description())
        with self._lock:
            if text != self._text and strip_progress(text) == strip_progress(self._text or b""):
                self._text = text  # only the count of frames changed: there is no need to parse it
                self._facts = {**self._facts, "frames_written": frames_written_in(text)}
            if text != self._text:
                try:
                    xml = parse_ome_xml(text, self._first)
                except UnsupportedError:
                    if self._text is None:
                        raise
                    return self._images  # the description is being replaced
                images = [_image(*each, self._first) for each in image_elements(xml, self._first)]
                self._images, self._text, self._facts = (
                    images,
                    text,
                    read_acquisition_annotation(xml),
                )
                for file in self._files.values():
                    file.close()  # their pages may be chained in another way now
            return self._images

    def _document(self, text: bytes) -> bytes:
        """Return the OME-XML that `text` is or points to."""
        if b"BinaryOnly" not in text[:4096]:
            return text
        pointer = parse_ome_xml(text, self._first).find("{*}BinaryOnly")
        if pointer is None:
            return text
        name = pointer.get("MetadataFile", "")
        path = referenced_metadata_file(self.folder, name)
        if name.lower().endswith(_SUFFIXES):
            return self.file(name).description()
        with self._lock:
            freshness, known = self._companions.get(path) or (FileChanges(path), b"")
            if freshness.may_differ():
                known = read_ome_xml(path, self.folder)
                freshness.read(known)
                self._companions[path] = freshness, known
            return known


class _TiffArray:
    """One image: ``array[t, c, z]`` is the plane (y, x) or (y, x, samples).

    `letters` are the axes that are indexed, slowest first; the others have one place.
    """

    def __init__(self, dataset: _Dataset, number: int, letters: list[str]) -> None:
        self._dataset = dataset
        self._number = number
        self._letters = letters
        self.dtype = dataset.images()[number].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        image = self._image()
        sizes = dict(zip(image.axes, image.sizes, strict=True))
        return (*(sizes[letter] for letter in self._letters), *image.frame)

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        image = self._image()
        places = dict(zip(self._letters, index, strict=True))
        plane = 0
        for letter, size in zip(image.axes, image.sizes, strict=True):
            plane = plane * size + places.get(letter, 0)
        at = bisect.bisect_right(image.blocks, plane, key=lambda block: block[0]) - 1
        page = None
        if at >= 0:
            first, count, name, ifd = image.blocks[at]
            if plane < first + count:
                page = self._dataset.file(name).page(ifd + plane - first)
        return np.zeros(image.frame, self.dtype) if page is None else page

    def _image(self) -> _Image:
        return self._dataset.images()[self._number]


def _image(element: Element, pixels: Element, file: Path) -> _Image:
    found = pixel_sizes(pixels, file)
    frame = (found.sizes["Y"], found.sizes["X"])
    sizes = tuple(found.sizes[axis] for axis in found.axes)
    runs = sorted(plane_runs(pixels, found, file))
    return _Image(
        name=element.get("Name", "") or element.get("ID", ""),
        axes=found.axes,
        sizes=sizes,
        frame=(*frame, found.samples) if found.samples > 1 else frame,
        samples=found.samples,
        dtype=found.dtype,
        channels=tuple(c.get("Name", "") or c.get("ID", "") for c in pixels.iterfind("{*}Channel")),
        blocks=tuple(runs) or (PlaneRun(0, math.prod(sizes), "", 0),),
    )
