"""What is known of each plane: journal lines in, Plane elements out."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json

from ome_writers.formats.ome_xml.annotations import FRAME_NAMESPACE, map_annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Planes", "render_planes"]

_ATTRIBUTES = {
    "delta_t": ("DeltaT", "s"),
    "exposure_time": ("ExposureTime", "s"),
    "position_x": ("PositionX", "µm"),
    "position_y": ("PositionY", "µm"),
    "position_z": ("PositionZ", "µm"),
}
_LARGE = 2**20  # bytes; more is kept compressed, to some 5 %


@dataclass(frozen=True)
class Planes:
    """The rendered planes of one image, and the annotations that they refer to."""

    _elements: bytes
    _annotations: bytes
    _packed: bool

    @property
    def elements(self) -> bytes:
        """The Plane elements."""
        return zlib.decompress(self._elements) if self._packed else self._elements

    @property
    def annotations(self) -> bytes:
        """The MapAnnotation elements."""
        return zlib.decompress(self._annotations) if self._packed else self._annotations


def render_planes(
    image: int, lines: Callable[[], Iterator[bytes]], axes: Mapping[str, int]
) -> Planes:
    """Return the planes of an image.

    Parameters
    ----------
    image
        Its number.
    lines
        Gives the image's journal from the start. Of a plane that is there twice the later line counts.
    axes
        T, C and Z to the storage axis that each is.
    """
    last = {line[: line.index(b"]")]: number for number, line in enumerate(lines())}
    elements, annotations = bytearray(), bytearray()
    for number, line in enumerate(lines()):
        if last[line[: line.index(b"]")]] == number:
            try:
                element, annotation = _plane(image, number, line, axes)
            except ValueError:
                continue  # two halves of lines that a full disk cut short can look like one
            elements += element.encode()
            annotations += annotation.encode()
    if len(elements) + len(annotations) < _LARGE:
        return Planes(bytes(elements), bytes(annotations), False)
    return Planes(zlib.compress(elements, 1), zlib.compress(annotations, 1), True)


def _plane(image: int, number: int, line: bytes, axes: Mapping[str, int]) -> tuple[str, str]:
    """Return the Plane element of a line, and its annotation or nothing."""
    entry = from_json(line)
    index = entry.pop("storage_index")
    the = {letter: index[axes[letter]] if letter in axes else 0 for letter in "ZTC"}
    element = f'<Plane TheZ="{the["Z"]}" TheT="{the["T"]}" TheC="{the["C"]}"'
    for key, (name, unit) in _ATTRIBUTES.items():
        value = entry.get(key)
        if type(value) is float or type(value) is int:
            del entry[key]
            element += f' {name}="{value!r}" {name}Unit="{unit}"'
    if not entry:
        return element + "/>", ""
    identifier = f"Annotation:frame-{image}-{number}"
    return (
        f'{element}><AnnotationRef ID="{identifier}"/></Plane>',
        map_annotation(identifier, FRAME_NAMESPACE, entry),
    )
