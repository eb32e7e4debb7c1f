"""OME-XML that a writer left when it died: what it says of the planes, and how it reads when it is finished.

It is edited as text, so that what clients wrote stays as they wrote it.
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
"""First plane, first page, and number of planes."""

_PIXELS = re.compile(rb"<Pixels\b[^>]*>")
_DATA = re.compile(rb"<TiffData\b[^>]*?(?:/>|>.*?</TiffData>)", re.DOTALL)
_ATTRIBUTE = re.compile(rb'\b([A-Za-z]+)="([^"]*)"')
_CHANNEL = re.compile(rb"<Channel\b[^>]*?(?:/>|>.*?</Channel>)", re.DOTALL)
_LINK = re.compile(rb"""<UUID\b[^>]*?FileName=(?:"([^"]*)"|'([^']*)')[^>]*>.*?</UUID>""", re.DOTALL)
_OWN = re.compile(
    rb'<(MapAnnotation|CommentAnnotation)\b[^>]*\bNamespace="ome_writers"[^>]*>.*?</\1>', re.DOTALL
)


@dataclass(frozen=True)
class RecoveredImage:
    """What the OME-XML says of one image.

    Attributes
    ----------
    axes
        T, C and Z, slowest first.
    sizes
        Extent of each.
    runs
        Which planes are which pages of its file.
    file_link
        The element that names the file; empty for the file that the text is in.
    one_element_per_plane
        Whether every plane has an element of its own.
    samples
        Samples of a pixel: SizeC counts them, too.
    """

    axes: str
    sizes: dict[str, int]
    runs: tuple[Run, ...]
    file_link: bytes
    one_element_per_plane: bool
    samples: int

    @property
    def file(self) -> str:
        """Name of the file; empty for the file that the text is in."""
        found = _LINK.match(self.file_link)
        if not found:
            return ""
        return unescape((found[1] or found[2] or b"").decode())

    @property
    def plane_count(self) -> int:
        """How many planes there are."""
        return math.prod(self.sizes.values())

    def tiff_data(self, sizes: Mapping[str, int], runs: Sequence[Run]) -> bytes:
        """Return TiffData elements."""
        end = b">" + self.file_link + b"</TiffData>" if self.file_link else b"/>"
        found = []
        for plane, page, count in runs:
            for at in range(count) if self.one_element_per_plane else (0,):
                starts, rest = [], plane + at
                for letter in reversed(self.axes):
                    rest, first = divmod(rest, sizes[letter])
                    starts.append(f' First{letter}="{first}"')
                planes = 1 if self.one_element_per_plane else count
                text = (
                    f'<TiffData IFD="{page + at}"{"".join(reversed(starts))} PlaneCount="{planes}"'
                )
                found.append(text.encode() + end)
        return b"".join(found)


class RecoveryXml:
    """One OME-XML.

    Raises
    ------
    UnsupportedError
        If it is not as this library writes it.
    """

    def __init__(self, xml: bytes) -> None:
        if b"<!" in xml:  # comments could contain what the expressions here look for
            raise UnsupportedError("its OME-XML has a comment, a declaration or a CDATA section")
        self.xml = xml
        self._facts = _facts_in(xml)
        if "status" not in self._facts:
            raise UnsupportedError("its OME-XML does not record how it was written")
        self._spans = []
        for start in _PIXELS.finditer(xml):
            end = xml.find(b"</Pixels>", start.end())
            self._spans.append((start.start(), start.end(), end))
        self.images = [self._image(*span) for span in self._spans]
        if not self.images or any(end < 0 for *_, end in self._spans):
            raise UnsupportedError("its OME-XML describes no image")

    @property
    def is_writing(self) -> bool:
        """Whether nobody has said yet how the acquisition ended."""
        return self.status == "writing"

    @property
    def status(self) -> str:
        """How the acquisition stands, or ended."""
        return str(self._facts["status"])

    @property
    def frames_written(self) -> int:
        """How many frames were written by then."""
        written = self._facts.get("frames_written")
        return written if isinstance(written, int) else 0

    @property
    def frames_expected(self) -> int | None:
        """How many frames were planned; None without an end."""
        expected = self._facts.get("frames_expected")
        return expected if isinstance(expected, int) else None

    @property
    def keeps_planned_shape(self) -> bool:
        """Whether the planned shape shall stay."""
        return self._facts.get("on_incomplete") == "keep"

    @property
    def growing_axis(self) -> str:
        """The letter of the axis without an end; empty when all have one."""
        return str(self._facts.get("growing", ""))

    def has_planes(self, image: int) -> bool:
        """Whether something is said of the planes of an image."""
        _, begin, end = self._spans[image]
        return self.xml.find(b"<Plane ", begin, end) >= 0

    def axis_indices(self, image: int, rank: int) -> dict[str, int]:
        """Return the letters of the `rank` axes by which a journal names a place."""
        slow_first = self._facts.get("axes") or self.images[image].axes[3 - rank :]
        return {letter: axis for axis, letter in enumerate(slow_first)}

    def render_finished(
        self,
        sizes: Sequence[Mapping[str, int]],
        runs: Sequence[Sequence[Run]],
        journals: Mapping[int, Path],
        status: str,
        frames: int,
    ) -> bytes:
        """Return the text of the finished acquisition.

        Parameters
        ----------
        sizes, runs
            What each image has.
        journals
            Image number to the journal of its frames.
        status, frames
            How it ended, and how many frames there are.
        """
        parts, annotations, done = [], b"", 0
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
                told = latest_entries(read_lines(journals[number]))
                rank = len(told[0]["storage_index"]) if told else 0
                planes = render_planes(
                    number,
                    lambda path=journals[number]: read_lines(path),  # type: ignore[misc]  # mypy cannot infer it
                    self.axis_indices(number, rank),
                )
                inside += planes.elements
                annotations += planes.annotations
            parts += [self.xml[done:start], opening, inside]
            done = end
        xml = b"".join([*parts, self.xml[done:]])
        if annotations:
            at = xml.rindex(b"</StructuredAnnotations>")
            xml = xml[:at] + annotations + xml[at:]
        if self.is_writing:
            own = _OWN.search(xml)
            assert own is not None
            facts = {**self._facts, "status": status, "frames_written": frames}
            identifier = _facts(own[0].partition(b">")[0]).get("ID", "Annotation:ome_writers")
            new = acquisition_annotation(facts, identifier).encode()
            xml = xml[: own.start()] + new + xml[own.end() :]
        return xml

    def _inside(self, number: int, sizes: Mapping[str, int], runs: Sequence[Run]) -> bytes:
        _, begin, end = self._spans[number]
        inside, image = self.xml[begin:end], self.images[number]
        if dict(sizes) == image.sizes and tuple(runs) == image.runs:
            return inside
        elements = list(_DATA.finditer(inside))
        first, last = elements[0].start(), elements[-1].end()
        before = inside[:first]
        for surplus in list(_CHANNEL.finditer(before))[: sizes["C"] - 1 : -1]:
            before = before[: surplus.start()] + before[surplus.end() :]
        return before + image.tiff_data(sizes, runs) + inside[last:]

    def _image(self, start: int, begin: int, end: int) -> RecoveredImage:
        facts = _facts(self.xml[start:begin])
        order = facts.get("DimensionOrder", "XYZCT")[:1:-1]
        found = re.search(rb'SamplesPerPixel="(\d+)"', self.xml[begin:end])
        samples = int(found[1]) if found else 1
        sizes = {letter: int(facts.get(f"Size{letter}", "1")) for letter in order}
        sizes["C"] //= samples
        runs, link = [], b""
        for element in _DATA.finditer(self.xml, begin, end):
            data, plane = _facts(element[0].partition(b">")[0]), 0
            for letter in order:
                plane = plane * sizes[letter] + int(data.get(f"First{letter}", "0"))
            runs.append((plane, int(data.get("IFD", "0")), int(data.get("PlaneCount", "1"))))
            named = _LINK.search(element[0])
            link = named[0] if named else b""
        if not runs:
            raise UnsupportedError("its OME-XML does not say where the planes are")
        each = len(runs) > 1 and all(count == 1 for *_, count in runs) and bool(link)
        return RecoveredImage(
            order, sizes, _joined(runs) if each else tuple(runs), link, each, samples
        )


def _facts_in(xml: bytes) -> dict[str, Any]:
    """Return what this library recorded of the acquisition; empty where it recorded nothing readable."""
    own = _OWN.search(xml)
    try:
        return {} if own is None else parse_acquisition_annotation(ElementTree.fromstring(own[0]))
    except ElementTree.ParseError:
        return {}


def _joined(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs in which neighbours are one."""
    found: list[Run] = []
    for plane, page, count in sorted(runs):
        if found and (found[-1][0] + found[-1][2], found[-1][1] + found[-1][2]) == (plane, page):
            found[-1] = (*found[-1][:2], found[-1][2] + count)
        else:
            found.append((plane, page, count))
    return tuple(found)


def _facts(element: bytes) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in _ATTRIBUTE.findall(element)}
