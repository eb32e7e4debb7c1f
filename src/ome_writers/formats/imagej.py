"""Parses an ImageJ hyperstack: a TIFF whose first ImageDescription is a list of ``key=value`` lines of ImageJ.

Source: ``ij.io.FileInfo`` and ``ij.io.TiffEncoder`` of ImageJ; tifffile decodes the description and the IJMetadata tag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.complete_pixels import CompletePixels, Planes
from ome_writers.formats.ometiff.first_page import read_first_page
from ome_writers.formats.ometiff.tiff_pages import TiffPages
from ome_writers.formats.plain_tiff import open_with_tifffile
from ome_writers.formats.plane_files import image_of_planes
from ome_writers.formats.registry import FormatRow, read_only_settings
from ome_writers.settings import Channel, Dimension
from ome_writers.units import kind_of, ngff_name
from ome_writers.untrusted import check_memory, check_shape

_PARSED = {"ImageJ", "images", "channels", "slices", "frames", "hyperstack", "spacing", "unit",
           "finterval", "min", "max", "Labels", "Ranges", "LUTs"}  # fmt: skip
_X_RESOLUTION, _Y_RESOLUTION = 282, 283


class Hyperstack(NamedTuple):
    """Metadata of a file as tifffile decodes it."""

    axes: str  # of TZCYXS, in this order
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]  # with the byte order of the file
    offset: int | None  # of the pixels, if they are contiguous and uncompressed
    metadata: dict[str, Any]
    pixel_sizes: tuple[float | None, float | None]  # y and x


def is_imagej(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        return read_first_page(path).description.startswith(b"ImageJ=")
    except UnsupportedError:  # is not a TIFF
        return False


def read_hyperstack(path: Path) -> Hyperstack:
    """Return what tifffile decodes of an ImageJ TIFF.

    Raises EngineMissingError without tifffile; UnsupportedError if the samples of RGB pixels are separate planes;
    InvalidFileError if planes are missing.
    """
    with open_with_tifffile(path) as tiff:
        series, tags = tiff.series[0], tiff.pages.first.tags
        metadata: dict[str, Any] = dict(tiff.imagej_metadata or {})
        found = Hyperstack(
            axes=series.axes,
            shape=check_shape(list(series.shape), path),
            dtype=np.dtype(tiff.byteorder + series.dtype.str[1:]),
            offset=series.dataoffset,
            metadata=metadata,
            pixel_sizes=(_pixel_size(tags, _Y_RESOLUTION), _pixel_size(tags, _X_RESOLUTION)),
        )
    if not re.fullmatch("T?Z?C?YXS?", found.axes):
        raise UnsupportedError(f"{path}: the axes {found.axes} of its pages are not supported.")
    planes = math.prod(found.shape[: found.axes.index("Y")])
    if planes != found.metadata.get("images", 1):  # tifffile leaves out what is missing
        raise InvalidFileError(
            f"{path} is truncated: its description lists {found.metadata['images']} planes, the file contains {planes}."
        )
    check_memory((*found.shape[found.axes.index("Y") :], found.dtype.itemsize), f"{path}: a plane")
    return found


def parse(path: Path) -> DatasetSpec:
    """Return axes, pixel size, plane distance, time interval, channels with color and display range of a hyperstack."""
    return spec_of(path, read_hyperstack(path))


def spec_of(path: Path, found: Hyperstack) -> DatasetSpec:
    metadata = found.metadata
    names = found.axes.lower().removesuffix("s")
    shape = found.shape[: len(names)]
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ")
    length = ngff_name(unit, "space") if kind_of(unit) == "space" else None
    steps = dict(zip("yx", found.pixel_sizes, strict=True)) | {"z": _positive(metadata, "spacing")}
    known = {name: (step, length) for name, step in steps.items() if step and length}
    if interval := _positive(metadata, "finterval"):
        known["t"] = (interval, "second")
    scales = [known.get(name, (None, None)) for name in names]
    channels = _channels(metadata, dict(zip(names, shape, strict=True)).get("c", 1))
    dimensions = [
        Dimension(
            name=name,
            count=count,
            coords=list(channels) if name == "c" else None,
            scale=scale,
            unit=unit_name,
        )
        for name, count, (scale, unit_name) in zip(names, shape, scales, strict=True)
    ]
    image = image_of_planes(
        path.name,
        path.name,
        dimensions,
        found.dtype.name,
        samples=found.shape[-1] if found.axes.endswith("S") else 1,
        channels=channels,
    )
    other = {
        k: v for k, v in metadata.items() if k not in _PARSED and isinstance(v, (str, int, float))
    }
    return DatasetSpec(
        path=path,
        format="imagej-tiff",
        version="",
        layout="image",
        images=(image,),
        dimensions=tuple(dimensions),
        written_by=f"ImageJ {metadata.get('ImageJ', '')}".strip(),
        metadata={"imagej": other} if other else {},
    )


def read_frames(path: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    """Return the label of each plane that has one."""
    found = read_hyperstack(path)
    shape, labels = found.shape[: found.axes.index("Y")], found.metadata.get("Labels") or []
    if len(labels) > math.prod(shape):
        raise InvalidFileError(f"{path} has {len(labels)} labels for {math.prod(shape)} planes.")
    return [
        (
            0,
            [
                {"storage_index": [int(i) for i in np.unravel_index(n, shape)], "label": str(label)}
                for n, label in enumerate(labels)
                if label
            ],
        )
    ]


def open_pixels(path: Path, _cache_bytes: int = 0) -> CompletePixels:
    """Return the planes of a hyperstack.

    ImageJ writes hyperstacks of more than 4 GiB with a single IFD and all planes after each other.
    """
    found = read_hyperstack(path)
    spec = spec_of(path, found)
    array: Any
    if found.offset is None:
        indices = np.ndindex(*found.shape[: found.axes.index("Y")])
        pages = {index: number for number, index in enumerate(indices)}
        array = Planes(spec, 0, pages, TiffPages(path).page)
    else:
        array = np.memmap(path, found.dtype, "r", found.offset, found.shape)
    return CompletePixels(spec, [array])


def _channels(metadata: dict[str, Any], count: int) -> tuple[Channel, ...]:
    """Return channels with the color at the end of their lookup table, and their display range."""
    tables, ranges = metadata.get("LUTs") or (), list(metadata.get("Ranges") or ())
    if not ranges and {"min", "max"} <= metadata.keys():
        ranges = [metadata["min"], metadata["max"]] * count
    found = []
    for number in range(count):
        table = np.asarray(tables[number]) if number < len(tables) else np.zeros((0, 0))
        red, green, blue = map(int, table[:, -1]) if table.shape == (3, 256) else (0, 0, 0)
        color = (red, green, blue) if (red, green, blue) != (0, 0, 0) else None
        found.append(Channel(name=f"Channel {number}", color=color, window=_window(ranges, number)))
    return tuple(found)


def _window(ranges: Sequence[Any], channel: int) -> tuple[float, float] | None:
    limits = ranges[2 * channel : 2 * channel + 2]
    valid = len(limits) == 2 and all(
        isinstance(v, (int, float)) and math.isfinite(v) for v in limits
    )
    return (float(limits[0]), float(limits[1])) if valid and limits[0] < limits[1] else None


def _positive(metadata: dict[str, Any], key: str) -> float | None:
    value = metadata.get(key)
    return float(value) if isinstance(value, (int, float)) and 0 < value < math.inf else None


def _pixel_size(tags: Any, tag: int) -> float | None:
    """Return the inverse of a resolution, in pixels per unit."""
    pixels, units = tags[tag].value if tag in tags else (0, 0)
    return units / pixels if pixels > 0 and units > 0 else None


FORMAT = FormatRow(
    settings=read_only_settings("imagej-tiff", "ImageJ TIFF"),
    recognizes=is_imagej,
    parse=parse,
    frame_metadata=read_frames,
    open_pixels=open_pixels,
)
