"""Recovery of the OME-XML of an interrupted acquisition: the IFDs of its planes, and the finished document.

The document is edited as text, so that client edits stay byte for byte.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ome_writers.errors import UnsupportedError
from ome_writers.formats.frame_metadata import latest_entries
from ome_writers.formats.ome_xml import (
    acquisition_annotation,
    parse_acquisition_annotation,
    render_planes,
)
from ome_writers.untrusted import read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["RecoveredImage", "RecoveryXml", "Run"]

Run = tuple[int, int, int]
"""First plane, first IFD, and number of planes."""

_PIXELS = re.compile(rb"<Pixels\b[^>]*>")
_TIFF_DATA = re.compile(rb"<TiffData\b[^>]*?(?:/>|>.*?</TiffData>)", re.DOTALL)
_ATTRIBUTE = re.compile(rb'\b([A-Za-z]+)="([^"]*)"')
_CHANNEL = re.compile(rb"<Channel\b[^>]*?(?:/>|>.*?</Channel>)", re.DOTALL)
_FILE_LINK = re.compile(
    rb"""<UUID\b[^>]*?FileName=(?:"([^"]*)"|'([^']*)')[^>]*>.*?</UUID>""", re.DOTALL
)
_OWN_ANNOTATION = re.compile(
    rb'<(MapAnnotation|CommentAnnotation)\b[^>]*\bNamespace="ome_writers"[^>]*>.*?</\1>', re.DOTALL
)


@dataclass(frozen=True)
class RecoveredImage:
    """The Pixels element of one image.

    Attributes
    ----------
    axes
        T, C and Z, slowest first.
    sizes
        Extents of these axes.
    runs
        The IFDs of its planes.
    file_link
        The UUID element with the file name; empty for the file that contains the document.
    one_element_per_plane
        Whether every plane has a TiffData element.
    samples
        Samples per pixel, which SizeC counts as channels.
    """

    axes: str
    sizes: dict[str, int]
    runs: tuple[Run, ...]
    file_link: bytes
    one_element_per_plane: bool
    samples: int

    @property
    def file(self) -> str:
        """Name of the file; empty for the file that contains the document."""
        match = _FILE_LINK.match(self.file_link)
        if not match:
            return ""
        return unescape((match[1] or match[2] or b"").decode())

    @property
    def plane_count(self) -> int:
        return math.prod(self.sizes.values())

    def tiff_data(self, sizes: Mapping[str, int], runs: Sequence[Run]) -> bytes:
        end = b">" + self.file_link + b"</TiffData>" if self.file_link else b"/>"
        elements = []
        for plane, ifd, count in runs:
            for offset in range(count) if self.one_element_per_plane else (0,):
                starts, remainder = [], plane + offset
                for letter in reversed(self.axes):
                    remainder, first = divmod(remainder, sizes[letter])
                    starts.append(f' First{letter}="{first}"')
                planes = 1 if self.one_element_per_plane else count
                text = f'<TiffData IFD="{ifd + offset}"{"".join(reversed(starts))} PlaneCount="{planes}"'
                elements.append(text.encode() + end)
        return b"".join(elements)


class RecoveryXml:
    """The OME-XML document of an interrupted acquisition; UnsupportedError if this library did not write it."""

    def __init__(self, xml: bytes) -> None:
        if b"<!" in xml:  # the patterns would match inside comments
            raise UnsupportedError("its OME-XML has a comment, a declaration or a CDATA section")
        self.xml = xml
        self._info = _read_info(xml)
        if "status" not in self._info:
            raise UnsupportedError("its OME-XML does not contain the status of the acquisition")
        self._spans = []
        for start in _PIXELS.finditer(xml):
            end = xml.find(b"</Pixels>", start.end())
            self._spans.append((start.start(), start.end(), end))
        self.images = [self._image(*span) for span in self._spans]
        if not self.images or any(end < 0 for *_, end in self._spans):
            raise UnsupportedError("its OME-XML does not contain an image")

    @property
    def is_writing(self) -> bool:
        return self.status == "writing"

    @property
    def status(self) -> str:
        return str(self._info["status"])

    @property
    def frames_written(self) -> int:
        written = self._info.get("frames_written")
        return written if isinstance(written, int) else 0

    @property
    def frames_expected(self) -> int | None:
        """Number of planned frames; None for an unbounded acquisition."""
        expected = self._info.get("frames_expected")
        return expected if isinstance(expected, int) else None

    @property
    def keeps_planned_shape(self) -> bool:
        """Whether `on_incomplete` is ``"keep"``."""
        return self._info.get("on_incomplete") == "keep"

    @property
    def growing_axis(self) -> str:
        """Letter of the unbounded axis; empty if there is none."""
        return str(self._info.get("growing", ""))

    def has_planes(self, image: int) -> bool:
        """Whether the document contains Plane elements of an image."""
        _, begin, end = self._spans[image]
        return self.xml.find(b"<Plane ", begin, end) >= 0

    def axis_indices(self, image: int, rank: int) -> dict[str, int]:
        """Map the letters of the axes of a journal's storage index, which has `rank` entries, to their indices."""
        slow_first = self._info.get("axes") or self.images[image].axes[3 - rank :]
        return {letter: axis for axis, letter in enumerate(slow_first)}

    def render_finished(
        self,
        sizes: Sequence[Mapping[str, int]],
        runs: Sequence[Sequence[Run]],
        journals: Mapping[int, Path],
        status: str,
        frames: int,
    ) -> bytes:
        """Return the document of the finished acquisition.

        Parameters
        ----------
        sizes, runs
            Sizes and IFDs of each image.
        journals
            Image number to the path of its journal.
        status, frames
            Final status and number of written frames.
        """
        parts, annotations, copied = [], b"", 0
        for number, (start, begin, end) in enumerate(self._spans):
            opening = self.xml[start:begin]
            for letter, size in sizes[number].items():
                if size != self.images[number].sizes[letter]:
                    if letter == "C":
                        size *= self.images[number].samples
                    name = b"Size" + letter.encode()
                    opening = re.sub(rb'\b%s="\d+"' % name, b'%s="%d"' % (name, size), opening)
            inside = self._inside(number, sizes[number], runs[number])
            if number in journals and not self.has_planes(number):
                entries = latest_entries(read_lines(journals[number]))
                rank = len(entries[0]["storage_index"]) if entries else 0
                planes = render_planes(
                    number,
                    lambda path=journals[number]: read_lines(path),  # type: ignore[misc]  # mypy cannot infer it
                    self.axis_indices(number, rank),
                )
                inside += planes.elements
                annotations += planes.annotations
            parts += [self.xml[copied:start], opening, inside]
            copied = end
        xml = b"".join([*parts, self.xml[copied:]])
        if annotations:
            end = xml.rindex(b"</StructuredAnnotations>")
            xml = xml[:end] + annotations + xml[end:]
        if self.is_writing:
            own = _OWN_ANNOTATION.search(xml)
            assert own is not None
            info = {**self._info, "status": status, "frames_written": frames}
            identifier = _attributes(own[0].partition(b">")[0]).get("ID", "Annotation:ome_writers")
            new = acquisition_annotation(info, identifier).encode()
            xml = xml[: own.start()] + new + xml[own.end() :]
        return xml

    def _inside(self, number: int, sizes: Mapping[str, int], runs: Sequence[Run]) -> bytes:
        _, begin, end = self._spans[number]
        inside, image = self.xml[begin:end], self.images[number]
        if dict(sizes) == image.sizes and tuple(runs) == image.runs:
            return inside
        elements = list(_TIFF_DATA.finditer(inside))
        first, last = elements[0].start(), elements[-1].end()
        before = inside[:first]
        for surplus in list(_CHANNEL.finditer(before))[: sizes["C"] - 1 : -1]:
            before = before[: surplus.start()] + before[surplus.end() :]
        return before + image.tiff_data(sizes, runs) + inside[last:]

    def _image(self, start: int, begin: int, end: int) -> RecoveredImage:
        attributes = _attributes(self.xml[start:begin])
        order = attributes.get("DimensionOrder", "XYZCT")[:1:-1]
        match = re.search(rb'SamplesPerPixel="(\d+)"', self.xml[begin:end])
        samples = int(match[1]) if match else 1
        sizes = {letter: int(attributes.get(f"Size{letter}", "1")) for letter in order}
        sizes["C"] //= samples
        runs, link = [], b""
        for element in _TIFF_DATA.finditer(self.xml, begin, end):
            data, plane = _attributes(element[0].partition(b">")[0]), 0
            for letter in order:
                plane = plane * sizes[letter] + int(data.get(f"First{letter}", "0"))
            runs.append((plane, int(data.get("IFD", "0")), int(data.get("PlaneCount", "1"))))
            match = _FILE_LINK.search(element[0])
            link = match[0] if match else b""
        if not runs:
            raise UnsupportedError("its OME-XML does not contain TiffData elements")
        each = len(runs) > 1 and all(count == 1 for *_, count in runs) and bool(link)
        return RecoveredImage(
            order, sizes, _merge_runs(runs) if each else tuple(runs), link, each, samples
        )


def _read_info(xml: bytes) -> dict[str, Any]:
    """Return the content of the acquisition annotation; empty if it is missing or cannot be parsed."""
    own = _OWN_ANNOTATION.search(xml)
    try:
        return {} if own is None else parse_acquisition_annotation(ElementTree.fromstring(own[0]))
    except ElementTree.ParseError:
        return {}


def _merge_runs(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Merge runs that follow each other."""
    merged: list[Run] = []
    for plane, ifd, count in sorted(runs):
        if merged and (merged[-1][0] + merged[-1][2], merged[-1][1] + merged[-1][2]) == (
            plane,
            ifd,
        ):
            merged[-1] = (*merged[-1][:2], merged[-1][2] + count)
        else:
            merged.append((plane, ifd, count))
    return tuple(merged)


def _attributes(element: bytes) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in _ATTRIBUTE.findall(element)}
