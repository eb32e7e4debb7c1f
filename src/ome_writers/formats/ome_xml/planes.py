"""Plane elements from journal lines, and their values."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic_core import from_json

from ome_writers.formats.ome_xml.annotations import FRAME_NAMESPACE, map_annotation

PLANE_ATTRIBUTES: dict[str, tuple[str, str]] = {
    "delta_t": ("DeltaT", "s"),
    "exposure_time": ("ExposureTime", "s"),
    "position_x": ("PositionX", "µm"),
    "position_y": ("PositionY", "µm"),
    "position_z": ("PositionZ", "µm"),
}
"""Key of frame metadata to name and unit of its attribute."""
_MAX_UNCOMPRESSED_BYTES = 2**20  # larger elements are held compressed, at about 5 %


@dataclass(frozen=True)
class RenderedPlanes:
    """The Plane elements of one image, and the annotations that they refer to."""

    _elements: bytes
    _annotations: bytes
    _compressed: bool

    @property
    def elements(self) -> bytes:
        return zlib.decompress(self._elements) if self._compressed else self._elements

    @property
    def annotations(self) -> bytes:
        return zlib.decompress(self._annotations) if self._compressed else self._annotations

    @property
    def annotations_only(self) -> RenderedPlanes:
        return replace(self, _elements=zlib.compress(b"") if self._compressed else b"")


def render_planes(
    image: int, lines: Callable[[], Iterable[bytes]], axes: Mapping[str, int]
) -> RenderedPlanes:
    """Return the planes of an image.

    `lines` returns the lines of the image's journal: of several with the same storage index, the last is used. `axes`
    maps T, C and Z to storage axes; see `axis_letters`.
    """
    last = {line.partition(b"]")[0]: number for number, line in enumerate(lines())}
    elements, annotations = bytearray(), bytearray()
    for number, line in enumerate(lines()):
        if last[line.partition(b"]")[0]] == number:
            try:
                element, annotation = _plane(image, number, line, axes)
            except (ValueError, LookupError, TypeError, AttributeError):
                continue  # a line that a full disk or power loss damaged
            elements += element.encode()
            annotations += annotation.encode()
    if len(elements) + len(annotations) < _MAX_UNCOMPRESSED_BYTES:
        return RenderedPlanes(bytes(elements), bytes(annotations), False)
    return RenderedPlanes(zlib.compress(elements, 1), zlib.compress(annotations, 1), True)


def _plane(image: int, number: int, line: bytes, axes: Mapping[str, int]) -> tuple[str, str]:
    """Return the Plane element of a line, and its annotation (may be empty)."""
    entry = from_json(line)
    index = entry.pop("storage_index")
    plane = {letter: index[axes[letter]] if letter in axes else 0 for letter in "ZTC"}
    element = f'<Plane TheZ="{plane["Z"]}" TheT="{plane["T"]}" TheC="{plane["C"]}"'
    for key, (name, unit) in PLANE_ATTRIBUTES.items():
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
