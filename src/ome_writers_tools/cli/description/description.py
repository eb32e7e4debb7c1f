"""`describe`: what `info` shows of a dataset and prints as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers import DatasetSpec, ImageSpec, Plate, read
from ome_writers.toolkit import ListingError, dataset_files, format_row, moved_files, ome_symbol
from ome_writers_tools.cli.quantities import size_in_files


@dataclass(frozen=True)
class AxisDescription:
    """One axis of an image."""

    name: str  # t, c, z, y, x or another
    size: int
    scale: float | None = None  # distance of adjacent indices in `unit`; None if unknown
    unit: str | None = None  # NGFF name of the unit, in both formats; None if unknown

    @property
    def step(self) -> str:
        """`scale` with the unit's symbol, ``"2 µm"``; empty if either is unknown."""
        symbol = self.unit and (ome_symbol(self.unit) or self.unit)
        return f"{self.scale:g} {symbol}" if self.scale and symbol else ""

    def __str__(self) -> str:
        """Return name, size and step: ``"z=5 (2 µm)"``."""
        return f"{self.name}={self.size}" + (f" ({self.step})" if self.step else "")


@dataclass(frozen=True)
class ImageDescription:
    """One image of a dataset."""

    path: str  # path of the Zarr group, or name of the TIFF file
    name: str
    axes: tuple[AxisDescription, ...]  # in storage order
    dtype: str  # numpy name of the pixel type
    channels: tuple[str, ...]
    storage: str  # chunks, shards and compression: `"chunks 1x1x512x512, blosc-zstd"`
    # stage coordinates in micrometer, by `x`, `y` and `z`, as far as they are known
    position: dict[str, float] = field(default_factory=dict)
    well: tuple[str, str] | None = None  # row and column of the well, None if it is not in a plate
    levels: int = 1  # resolution levels, full resolution included
    labels: tuple[str, ...] = ()  # names of the label images
    derived: tuple[str, ...] = ()  # names of other derived images, such as projections

    @property
    def shape(self) -> str:
        """The axes in short: ``"t=3 (30 s), y=512, x=512 (0.65 µm)"``."""
        *others, y, x = self.axes
        frame = (f"y={y.size}", x) if y.step == x.step else (y, x)
        return ", ".join(map(str, (*others, *frame)))


@dataclass(frozen=True)
class PlateDescription:
    """A plate, by the names of its rows and columns."""

    name: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class MovedDescription:
    """Files of a dataset that are at the target of a mirror instead of this disk."""

    url: str
    files: int
    bytes: int

    def __str__(self) -> str:
        """Return size, number and target: ``"1.5 GiB in 20 files at s3://bucket/run.ome.zarr"``."""
        return f"{size_in_files(self.bytes, self.files)} at {self.url}"


@dataclass(frozen=True)
class Description:
    """One dataset."""

    path: str
    format: str  # "OME-Zarr 0.5", "OME-TIFF" ...
    layout: str  # "image", "collection", "plate" ...
    status: str | None  # `writing`, `complete`, `cancelled` or `failed`; None if unknown
    # Numbers of frames, None if unknown. While the dataset is written: as of the last flush.
    frames_written: int | None
    frames_expected: int | None
    written_by: str | None  # program and version; None if unknown
    # of all files of the dataset; None if a server does not list them
    files: int | None
    bytes_on_disk: int | None
    images: tuple[ImageDescription, ...]  # in the order of the metadata
    # time of the last update of `frames_written`, ISO 8601; None if unknown
    updated: str | None = None
    bytes_raw: int = 0  # size of the pixels that were written, without compression
    # rows and columns of the plate; None if it is not a plate
    plate: PlateDescription | None = None
    description: str | None = None  # what the dataset is; None if unknown
    moved: MovedDescription | None = None  # files that a mirror has moved; None if there are none
    lossy: str | None = (
        None  # how the pixels were changed; None if they were not, as far as is known
    )

    @property
    def size(self) -> str:
        """Size and number of the files as text, "512 B in 1 file"."""
        if self.bytes_on_disk is None or self.files is None:
            return "unknown (the server does not list files)"
        return size_in_files(self.bytes_on_disk, self.files)

    @property
    def frames(self) -> str | None:
        """The frame counts as text, "7 of 20"; None if both are unknown."""
        if self.frames_written is None:
            return f"unknown, {self.frames_expected} expected" if self.frames_expected else None
        return f"{self.frames_written}" + (
            f" of {self.frames_expected}" if self.frames_expected else ""
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def describe(path: Path) -> Description:
    """Describe an OME-Zarr, an OME-TIFF, or a directory with a set of OME-TIFF files.

    Raises FileNotFoundError if `path` does not exist, and UnsupportedError if it is none of these.
    """
    return describe_spec(read(path))


def describe_spec(spec: DatasetSpec, *, count_files: bool = True) -> Description:
    """Describe a dataset that has been parsed; without `count_files`, `files` and `bytes_on_disk` are 0."""
    files, size = _measure(dataset_files(spec.path) if count_files else ())
    return Description(
        path=str(spec.path),
        format=_format(spec),
        layout=spec.layout,
        status=spec.status,
        frames_written=spec.frames_written,
        frames_expected=spec.frames_expected,
        written_by=spec.written_by,
        files=files,
        bytes_on_disk=size,
        images=tuple(_describe_image(image, spec) for image in spec.images),
        updated=spec.updated,
        bytes_raw=_raw_bytes(spec),
        plate=_describe_plate(spec.plate) if spec.plate else None,
        description=spec.description,
        moved=_moved(spec.path),
        lossy=_lossy(spec),
    )


def _moved(path: Path) -> MovedDescription | None:
    found = moved_files(path)
    items = [] if found is None else found.items()
    if found is None or not items:
        return None
    return MovedDescription(found.url, len(items), sum(file.size for _, file in items))


def _lossy(spec: DatasetSpec) -> str | None:
    noise = spec.metadata.get("quantization")
    if not isinstance(noise, Mapping) or not noise.get("lossy"):
        return None
    known = ("offset", "gain", "read_noise")
    values = ", ".join(f"{name.replace('_', ' ')} {noise.get(name)}" for name in known)
    return f"yes: quantized in steps of {noise.get('step')} of the camera noise ({values})"


def _format(spec: DatasetSpec) -> str:
    """Return the format's title, with a version ("0.5"), but without the date of a schema ("2016-06")."""
    numbered = re.fullmatch(r"\d+\.\d+\S*", spec.version)
    return format_row(spec.format).title + (f" {spec.version}" if numbered else "")


def _describe_plate(plate: Plate) -> PlateDescription:
    return PlateDescription(plate.name, tuple(plate.row_names), tuple(plate.column_names))


def _describe_image(image: ImageSpec, spec: DatasetSpec) -> ImageDescription:
    level, position = image.levels[0], image.position
    sizes = [
        size * image.samples if axis.name == "c" else size
        for axis, size in zip(image.axes, level.shape, strict=True)
    ]
    axes = (
        AxisDescription(axis.name, size, scale, axis.unit if scale else None)
        for axis, size, scale in zip(image.axes, sizes, level.scale, strict=True)
    )
    words = [f"shards {_by(level.shards)}"] if level.shards else []
    words += [] if (spec.root / level.key).is_file() else [f"chunks {_by(level.chunks)}"]
    words += ["not compressed" if level.compression == "none" else level.compression]
    words += [f"{len(image.levels)} resolution levels"] if len(image.levels) > 1 else []
    coordinates = {axis: getattr(position, f"{axis}_coord", None) for axis in "xyz"}
    in_well = position is not None and position.plate_row is not None
    derived = format_row(spec.format).derived_images(spec, image.key)
    return ImageDescription(
        path=image.key or ".",
        name=image.name,
        axes=tuple(axes),
        dtype=level.dtype,
        channels=tuple(channel.name for channel in image.channels),
        storage=", ".join(words),
        position={axis: value for axis, value in coordinates.items() if value is not None},
        well=(position.plate_row or "", position.plate_column or "")
        if position and in_well
        else None,
        levels=len(image.levels),
        labels=tuple(derived.get("labels", ())),
        derived=tuple(derived.get("image", ())),
    )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _raw_bytes(spec: DatasetSpec) -> int:
    """Return the size of the pixels; without the frames that were not written, where their number is known."""
    planes = size = 0
    for image in spec.images:
        level = image.levels[0]
        count = math.prod(level.shape[:-2])
        planes += count
        size += count * math.prod(level.shape[-2:]) * image.samples * np.dtype(level.dtype).itemsize
    if spec.settings is None or spec.frames_written is None or not planes:
        return size
    separate = spec.settings.rgb and all(image.samples == 1 for image in spec.images)
    return size * min(spec.frames_written * (3 if separate else 1), planes) // planes


def _measure(files: Iterable[Path]) -> tuple[int, int] | tuple[None, None]:
    """Return the number of files and their total bytes; files removed during the count are left out."""
    count = size = 0
    with suppress(ListingError):
        for path in files:
            try:
                size += path.stat().st_size
            except FileNotFoundError:
                continue
            count += 1
        return count, size
    return None, None
