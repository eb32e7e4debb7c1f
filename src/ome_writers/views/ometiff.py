"""Views of an OME-TIFF file or set on disk, closed or still being written.

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
from ome_writers.views.file_cache import ChangeDetector
from ome_writers.views.stacked import StackedSource
from ome_writers.views.summary import Summary
from ome_writers.views.tiff_pages import TiffPages

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ome_writers.views.source import Source

__all__ = ["open_tiff"]

_SUFFIXES = (".tif", ".tiff")


def open_tiff(path: Path, cache_bytes: int = 0) -> Source:
    """Return the images of an OME-TIFF file, or of the set in a folder.

    Axes are in DimensionOrder, slowest first. Axes of extent 1 are omitted, except the time of an unbounded acquisition
    written by this library. Several images are stacked along a first axis ``p``. `cache_bytes` has no effect: a page is
    one plane.

    Raises
    ------
    UnsupportedError
        If it is not an OME-TIFF.
    EngineMissingError
        If tifffile is not installed.
    """
    dataset = _Dataset(path)
    images = dataset.images()
    first = images[0]
    growing = "T" if dataset.is_unbounded() else ""
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
    """An Image element: `axes` (of T, C, Z, slowest first) with their `sizes`, and where the planes are."""

    name: str
    axes: str
    sizes: tuple[int, ...]
    frame: tuple[int, ...]
    samples: int
    dtype: np.dtype[np.generic]
    channels: tuple[str, ...]
    runs: tuple[PlaneRun, ...]


class _Dataset:
    """The files of one dataset and their current OME-XML."""

    def __init__(self, path: Path) -> None:
        self._is_set = path.is_dir()
        self.folder = path if self._is_set else path.parent
        self._first = first_tiff(path)
        self._files: dict[str, TiffPages] = {}
        self._lock = threading.Lock()
        self._text: bytes | None = None
        self._annotation: dict[str, Any] = {}  # of this library
        self._images: list[_Image] = []
        self._companions: dict[Path, tuple[ChangeDetector, bytes]] = {}

    def file(self, name: str) -> TiffPages:
        """Return a file of the set; the first one for an empty name."""
        with self._lock:
            name = name or self._first.name
            if name not in self._files:
                path, root = self._first, None
                if path.name != name or self._is_set:
                    path, root = member(self.folder, name), self.folder
                self._files[name] = TiffPages(path, root)
            return self._files[name]

    def is_unbounded(self) -> bool:
        """Return whether this library wrote the dataset without a planned number of frames."""
        self.images()
        return self._annotation.get("frames_expected", 0) is None

    def summary(self, path: Path) -> Summary:
        """Return status and numbers of frames from the annotation of this library."""
        self.images()
        counts = {"written": self._annotation.get("frames_written")}
        counts["expected"] = self._annotation.get("frames_expected")
        return Summary.of(path, self._annotation.get("status"), counts)

    def images(self) -> list[_Image]:
        """Return all images of the current OME-XML."""
        text = self._ome_xml(self.file(self._first.name).description())
        with self._lock:
            if text != self._text and strip_progress(text) == strip_progress(self._text or b""):
                self._text = text  # only the number of frames changed: no need to parse it again
                self._annotation = {**self._annotation, "frames_written": frames_written_in(text)}
            if text != self._text:
                try:
                    xml = parse_ome_xml(text, self._first)
                except UnsupportedError:
                    if self._text is None:
                        raise
                    return self._images  # the description is being replaced
                elements = image_elements(xml, self._first)
                self._images = [_image(image, pixels, self._first) for image, pixels in elements]
                self._text, self._annotation = text, read_acquisition_annotation(xml)
                for file in self._files.values():
                    file.close()  # their IFD chains may have been rewritten
            return self._images

    def _ome_xml(self, text: bytes) -> bytes:
        """Return `text`, or the OME-XML that its BinaryOnly element refers to."""
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
            changes, companion = self._companions.get(path) or (ChangeDetector(path), b"")
            if changes.may_have_changed():
                companion = read_ome_xml(path, self.folder)
                changes.mark_read(companion)
                self._companions[path] = changes, companion
            return companion


class _TiffArray:
    """One image: ``array[t, c, z]`` is the plane (y, x) or (y, x, samples).

    `letters` are the indexed axes, slowest first; the others have extent 1.
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
        indices = dict(zip(self._letters, index, strict=True))
        plane = 0
        for letter, size in zip(image.axes, image.sizes, strict=True):
            plane = plane * size + indices.get(letter, 0)
        run = bisect.bisect_right(image.runs, plane, key=lambda run: run[0]) - 1
        page = None
        if run >= 0:
            first, count, name, ifd = image.runs[run]
            if plane < first + count:
                page = self._dataset.file(name).page(ifd + plane - first)
        return np.zeros(image.frame, self.dtype) if page is None else page

    def _image(self) -> _Image:
        return self._dataset.images()[self._number]


def _image(element: Element, pixels: Element, file: Path) -> _Image:
    parsed = pixel_sizes(pixels, file)
    frame = (parsed.sizes["Y"], parsed.sizes["X"])
    sizes = tuple(parsed.sizes[axis] for axis in parsed.axes)
    runs = sorted(plane_runs(pixels, parsed, file))
    return _Image(
        name=element.get("Name", "") or element.get("ID", ""),
        axes=parsed.axes,
        sizes=sizes,
        frame=(*frame, parsed.samples) if parsed.samples > 1 else frame,
        samples=parsed.samples,
        dtype=parsed.dtype,
        channels=tuple(c.get("Name", "") or c.get("ID", "") for c in pixels.iterfind("{*}Channel")),
        runs=tuple(runs) or (PlaneRun(0, math.prod(sizes), "", 0),),
    )
