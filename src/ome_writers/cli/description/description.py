"""What a dataset says of itself, from its plain documents, whoever wrote it."""

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
        Number of places along it.
    scale
        The step from one place to the next, in `unit`; None if not known.
    unit
        NGFF name of the unit, in both formats; None if not known.
    """

    name: str
    size: int
    scale: float | None = None
    unit: str | None = None

    def __str__(self) -> str:
        """Return name, size and step, with the symbol of the unit: ``"z=5 (2 µm)"``."""
        symbol = self.unit and (ome_symbol(self.unit) or self.unit)
        step = f"{self.scale:g} {symbol}" if self.scale and symbol else ""
        return f"{self.name}={self.size}" + (f" ({step})" if step else "")


@dataclass(frozen=True)
class ImageDescription:
    """One image of a dataset.

    Attributes
    ----------
    path
        Where it lies: a group's path in a Zarr hierarchy, a file's name of a TIFF set.
    name
        Its name in the metadata.
    axes
        In storage order.
    dtype
        numpy's name of the pixel type.
    channels
        Names of the channels.
    storage
        How the pixels are cut and compressed, in words.
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
        What was opened.
    format
        "OME-Zarr 0.5", "OME-TIFF" ...
    layout
        "image", "collection", "plate" ...
    status
        ``writing``, ``complete``, ``cancelled`` or ``failed``; None where nobody said.
    frames_written, frames_expected
        Numbers of frames, None if unknown; of a dataset that is being written, at its last flush.
    updated
        When the number of frames was written, in ISO 8601; None if unknown.
    written_by
        Program and version, or None.
    files, bytes_on_disk
        Over everything that belongs to the dataset.
    images
        In the dataset's own order.
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
        """The numbers of frames in words; None where nobody said any."""
        if self.frames_written is None:
            return f"{self.frames_expected} expected" if self.frames_expected else None
        expected = f" of {self.frames_expected}" if self.frames_expected else ""
        return f"{self.frames_written}{expected} frames"

    def to_json(self) -> dict[str, Any]:
        """Return nested dicts and lists that `json.dumps` takes."""
        return asdict(self)


def measure(files: Iterable[Path]) -> tuple[int, int]:
    """Return how many files there are and their bytes; one that vanishes meanwhile counts as 0."""
    count = size = 0
    for path in files:
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            continue
        count += 1
    return count, size
