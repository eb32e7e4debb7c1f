"""Metadata that Micro-Manager stores in its image stack files beside the OME-XML: of the acquisition and of each image.

https://micro-manager.org/Micro-Manager_Image_File_Stacks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.dataset import ImageSpec
from ome_writers.formats.micromanager import channel_color, frame_metadata
from ome_writers.formats.ometiff.pixels_element import pixel_sizes, plane_runs
from ome_writers.formats.ometiff.tiff_structure import open_tiff
from ome_writers.untrusted import Limit, member, open_regular, parse_json

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Json = dict[str, Any]
Index = tuple[int, ...]

_SUMMARY_OFFSET, _SUMMARY_HEADER = 32, 2355492
_IMAGE_METADATA = 51123  # tag


def read_summary(file: Path) -> Json:
    """Return the metadata of the acquisition; empty if the file is not of Micro-Manager."""
    with open(open_regular(file), "rb") as tiff:
        order = np.dtype(">u4" if tiff.read(2) == b"MM" else "<u4")
        tiff.seek(_SUMMARY_OFFSET)
        head = tiff.read(8)
        header, length = np.frombuffer(head, order).tolist() if len(head) == 8 else (0, 0)
        found = (
            parse_json(tiff.read(min(length, Limit.JSON)), file)
            if header == _SUMMARY_HEADER
            else {}
        )
    return found if isinstance(found, dict) else {}


def with_summary_colors(image: ImageSpec, summary: Json) -> ImageSpec:
    """Return an image with the colors of the summary: Micro-Manager 1.4 writes ARGB into the OME-XML, not RGBA."""
    colors = summary.get("ChColors")
    if not isinstance(colors, list) or len(colors) != len(image.channels):
        return image
    channels = tuple(
        channel.model_copy(update={"color": channel_color(color)})
        for channel, color in zip(image.channels, colors, strict=True)
    )
    return replace(image, channels=channels)


def read_page_metadata(pixels: Element, first: Path) -> dict[Index, Json]:
    """Return the metadata of each plane of an image, by storage index."""
    sizes = pixel_sizes(pixels, first)
    shape = tuple(sizes.sizes[axis] for axis in sizes.axes)
    by_file: dict[Path, dict[int, int]] = {}
    for run in plane_runs(pixels, sizes, first):  # Micro-Manager writes one TiffData per plane
        file = member(first.parent, run.file) if run.file else first
        by_file.setdefault(file, {})[run.ifd] = run.first
    found: dict[Index, Json] = {}
    for file, planes_by_ifd in by_file.items():
        if file.is_file():
            for plane, metadata in _metadata_of_pages(file, planes_by_ifd, first.parent):
                index = tuple(map(int, np.unravel_index(plane, shape)))
                found[index] = frame_metadata(metadata, index)
    return found


def _metadata_of_pages(file: Path, planes: Mapping[int, int], root: Path) -> list[tuple[int, Json]]:
    found = []
    with open_tiff(file, root=root) as tiff:
        for number, page in enumerate(tiff.directories()):
            entry = page.entries.get(_IMAGE_METADATA)
            if number in planes and entry is not None:
                metadata = parse_json(tiff.content(entry).rstrip(b"\0 "), f"{file}: page {number}")
                if isinstance(metadata, dict):
                    found.append((planes[number], metadata))
    return found
