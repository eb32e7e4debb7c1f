"""The model of a described dataset, for both formats and any writer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ome_writers.units import ome_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Axis:
    """One axis of an image.

    Attributes
    ----------
    name
        t, c, z, y, x or another.
    size
        Number of indices.
    scale
        Distance of adjacent indices in `unit`; None if unknown.
    unit
        NGFF name of the unit, in both formats; None if unknown.
    """

    name: str
    size: int
    scale: float | None = None
    unit: str | None = None

    def __str__(self) -> str:
        """Return name, size and scale with the unit's symbol: ``"z=5 (2 µm)"``."""
        symbol = self.unit and (ome_symbol(self.unit) or self.unit)
        step = f"{self.scale:g} {symbol}" if self.scale and symbol else ""
        return f"{self.name}={self.size}" + (f" ({step})" if step else "")


@dataclass(frozen=True)
class ImageDescription:
    """One image of a dataset.

    Attributes
    ----------
    path
        Path of the Zarr group, or name of the TIFF file.
    name
        Name in the metadata.
    axes
        In storage order.
    dtype
        numpy name of the pixel type.
    channels
        Channel names.
    storage
        Chunks, shards and compression: ``"chunks 1x1x512x512, blosc"``.
    """

    path: str
    name: str
    axes: tuple[Axis, ...]
    dtype: str
    channels: tuple[str, ...]
    storage: str


@dataclass(frozen=True)
class Description:
    """One dataset.

    Attributes
    ----------
    path
        The path that was opened.
    format
        "OME-Zarr 0.5", "OME-TIFF" ...
    layout
        "image", "collection", "plate" ...
    status
        ``writing``, ``complete``, ``cancelled`` or ``failed``; None if unknown.
    frames_written, frames_expected
        Numbers of frames, None if unknown. While the dataset is written: as of the last flush.
    written_by
        Program and version; None if unknown.
    files, bytes_on_disk
        Of all files of the dataset.
    images
        In the order of the metadata.
    updated
        Time of the last update of `frames_written`, ISO 8601; None if unknown.
    """

    path: str
    format: str
    layout: str
    status: str | None
    frames_written: int | None
    frames_expected: int | None
    written_by: str | None
    files: int
    bytes_on_disk: int
    images: tuple[ImageDescription, ...]
    updated: str | None = None

    @property
    def frames(self) -> str | None:
        """The frame counts as text, "7 of 20 frames"; None if both are unknown."""
        if self.frames_written is None:
            return f"unknown, {self.frames_expected} expected" if self.frames_expected else None
        expected = f" of {self.frames_expected}" if self.frames_expected else ""
        return f"{self.frames_written}{expected} frames"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(files: Iterable[Path]) -> tuple[int, int]:
    """Return the number of files and their total bytes; files removed during the count are left out."""
    count = size = 0
    for path in files:
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            continue
        count += 1
    return count, size
