"""Pixels of an OME-TIFF file or set on disk, closed or still being written.

Source: https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html (TiffData, BinaryOnly).
"""

from __future__ import annotations

import bisect
import math
import operator
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec, Region
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.ome_xml import (
    frames_written_in,
    image_elements,
    is_same_acquisition,
    parse_ome_xml,
    read_acquisition_annotation,
    strip_progress,
)
from ome_writers.formats.ometiff.first_page import metadata_file, read_ome_xml
from ome_writers.formats.ometiff.parse import OmeXml, load_ome_xml, parse_document
from ome_writers.formats.ometiff.pixels_element import PlaneRun, pixel_sizes, plane_runs
from ome_writers.formats.ometiff.tiff_pages import ChangeDetector, TiffPages
from ome_writers.untrusted import MAX_FRAMES, check_count, member

Contents = tuple[DatasetSpec, list[tuple[PlaneRun, ...]]]
"""What an OME-XML contains, and where the planes of each image are."""


class TiffPixels:
    """The files of one dataset and their current OME-XML; implements `OpenPixels`. No pixels are cached.

    Raises UnsupportedError if it is not an OME-TIFF; EngineMissingError if tifffile is not installed.
    """

    def __init__(self, path: Path, _cache_bytes: int = 0) -> None:
        self._path = path
        self._is_set = path.is_dir()
        self._source = load_ome_xml(path)
        self._folder = self._source.first.parent
        self._files: dict[str, TiffPages] = {}
        self._lock = threading.Lock()
        self._text = self._source.text
        self._spec, self.plan = parse_document(self._source, path)
        self._runs: list[tuple[PlaneRun, ...]] = _runs(self._source)
        self._empty: tuple[bytes, dict[int, set[int]]] | None = None  # text, empty planes by image
        self._metadata_changes: dict[Path, tuple[ChangeDetector, bytes]] = {}

    def file(self, name: str) -> TiffPages:
        """Return a file of the set; the first one for an empty name."""
        first = self._source.first
        with self._lock:
            name = name or first.name
            if name not in self._files:
                path, root = first, None
                if path.name != name or self._is_set:
                    path, root = member(self._folder, name), self._folder
                self._files[name] = TiffPages(path, root)
            return self._files[name]

    def spec(self) -> DatasetSpec:
        return self.current()[0]

    def current(self) -> Contents:
        """Return what the current OME-XML contains."""
        first = self._source.first
        file, text = first, self.file(first.name).description()
        if b"BinaryOnly" in text[:4096]:
            file, text = self._companion(metadata_file(text, first), text)
        with self._lock:
            if text != self._text and strip_progress(text) == strip_progress(self._text):
                # only the number of frames changed: no need to parse it again
                self._text = text
                self._spec = replace(self._spec, frames_written=frames_written_in(text))
            if text != self._text:
                try:
                    source = self._source._replace(
                        xml=parse_ome_xml(text, file), text=text, file=file
                    )
                    spec, plan = parse_document(source, self._path)
                    self._spec, self.plan, self._runs = spec, plan, _runs(source)
                    self._source = source
                except UnsupportedError:
                    return self._spec, self._runs  # the description is being replaced
                continued, self._text = is_same_acquisition(text, self._text), text
                for pages in () if continued else self._files.values():
                    pages.close()  # their IFD chains may have been rewritten
            return self._spec, self._runs

    def known(self) -> Contents:
        """Return what `current` has returned last."""
        with self._lock:
            return self._spec, self._runs

    def is_empty(self, image: int, plane: int) -> bool:
        """Return whether the OME-XML lists a plane among those without a frame; planes as in `PlaneRun`."""
        with self._lock:
            if self._empty is None or self._empty[0] != self._text:
                self._empty = self._text, _planes_without_frames(self._source)
            return plane in self._empty[1].get(image, ())

    def array(self, image: int, level: int) -> _TiffArray:
        return _TiffArray(self, image, level)

    def extents(self) -> Mapping[str, Any]:
        """Return nothing: the sizes in the OME-XML grow with the acquisition."""
        return {}

    def _companion(self, file: Path, text: bytes) -> tuple[Path, bytes]:
        """Return the file that contains the OME-XML, and its text; `text` is that of the first file."""
        if file == self._source.first:
            return file, text
        with self._lock:
            changes, text = self._metadata_changes.get(file) or (ChangeDetector(file), b"")
            if changes.may_have_changed():
                text = read_ome_xml(file, self._folder)
                changes.mark_read(text)
                self._metadata_changes[file] = changes, text
            return file, text


class _TiffArray:
    """One image: ``array[t, c, z]`` is the plane (y, x) or (y, x, samples)."""

    def __init__(self, files: TiffPixels, number: int, level: int) -> None:
        self._files = files
        self._number = number
        self._level = level
        self.dtype = np.dtype(files.spec().images[number].levels[0].dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        level = self._files.current()[0].images[self._number].levels[self._level]
        return (*level.shape, level.samples) if level.samples > 1 else level.shape

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        return self.read_region(index, None)

    def read_region(
        self, index: tuple[int, ...], region: Region | None, *, current: Contents | None = None
    ) -> NDArray[np.generic]:
        """Return a plane; outside of `region`, pixels may be zeros. `current` is what the OME-XML contains."""
        spec, runs = current or self._files.current()
        shape, places = spec.images[self._number].levels[self._level].shape, runs[self._number]
        plane = 0
        for i, size in zip(index, shape, strict=False):
            plane = plane * size + i
        run = bisect.bisect_right(places, plane, key=lambda run: run[0]) - 1
        page = None
        if run >= 0:
            first, count, name, ifd = places[run]
            if plane < first + count:
                page = self._files.file(name).page(ifd + plane - first, self._level, region)
        if page is None:
            return np.zeros(self.shape[len(index) :], self.dtype)
        if self._level and page.shape != (expected := self.shape[len(index) :]):
            raise InvalidFileError(
                f"{spec.path}: level {self._level} of plane {plane} has shape {page.shape}, expected {expected}. "
                f"Open level 0."
            )
        return page

    def read_recorded(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a plane that is on disk, without reading the OME-XML again; None if the last one does not include it.

        For the original resolution while the dataset is being written: its IFDs are where they were.
        """
        known = self._files.known()
        spec = known[0]
        if spec.status != "writing" or not all(
            map(operator.lt, index, spec.images[self._number].shape)
        ):
            return None
        return self.read_region(index, None, current=known)

    def has_plane(self, index: tuple[int, ...], known: object) -> bool:
        """Return whether the plane at `index` is stored: its page exists, and does not refer to a blank plane."""
        spec, runs = self._files.current()
        shape = spec.images[self._number].shape
        plane = int(np.ravel_multi_index(index, shape[: len(index)])) if index else 0
        if self._files.is_empty(self._number, plane):
            return False
        growing = spec.settings is not None and spec.status == "writing"
        for first, count, name, ifd in runs[self._number]:
            if first <= plane < first + count:
                return self._files.file(name).has_page(ifd + plane - first, growing=growing)
        return False


open_pixels = TiffPixels


def _runs(source: OmeXml) -> list[tuple[PlaneRun, ...]]:
    """Return the runs of planes of each image, sorted by their first plane."""
    found = []
    for _, pixels in image_elements(source.xml, source.first):
        sizes = pixel_sizes(pixels, source.first)
        count = math.prod(sizes.sizes[axis] for axis in sizes.axes)
        runs = sorted(plane_runs(pixels, sizes, source.first))
        found.append(tuple(runs) or (PlaneRun(0, count, "", 0),))
    return found


def _planes_without_frames(source: OmeXml) -> dict[int, set[int]]:
    """Return, by image, the planes of a closed dataset of this library that do not have a frame."""
    listed = read_acquisition_annotation(source.xml).get("planes_without_frames")
    found: dict[int, set[int]] = {}
    for number, (_, pixels) in enumerate(image_elements(source.xml, source.first)):
        sizes, planes = pixel_sizes(pixels, source.first), found.setdefault(number, set())
        runs = listed.get(str(number)) if isinstance(listed, dict) else None
        for run in runs if isinstance(runs, list) else ():
            if isinstance(run, list) and len(run) == 4 and all(type(i) is int for i in run):
                first = 0
                for axis in sizes.axes:
                    first = first * sizes.sizes[axis] + run["TCZ".index(axis)]
                planes.update(range(first, first + check_count(run[3], "empty planes", MAX_FRAMES)))
    return found
