"""A plate as text, and its images in groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ome_writers_tools.cli.description.description import (
    Description,
    ImageDescription,
    PlateDescription,
)

_MAX_WIDTH = 76
_MAX_NAMED_WELLS = 3


def plate_map(plate: PlateDescription, images: Iterable[ImageDescription]) -> list[str]:
    """Return a line of text per row of the plate, below the names of its columns.

    A well is the number of its images: ``.`` for none, ``+`` for ten or more. Wide plates have one character per well,
    and names of every tenth column only.
    """
    counts = Counter(image.well for image in images)
    margin = max(map(len, plate.rows), default=0) + 2
    width = max((len(name) for name in plate.columns), default=1) + 1
    if margin + width * len(plate.columns) > _MAX_WIDTH:
        width = 1
    names = [
        name if width > 1 else name[-1:] if (n + 1) % 10 else "|"
        for n, name in enumerate(plate.columns)
    ]
    lines = [" " * margin + "".join(f"{name:>{width}}" for name in names)]
    for row in plate.rows:
        cells = (_cell(counts[row, column]) for column in plate.columns)
        lines.append(f"{row:<{margin}}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines


def _cell(count: int) -> str:
    return "." if not count else str(count) if count < 10 else "+"


def group_images(description: Description) -> list[tuple[str, str, ImageDescription]]:
    """Return the groups of images with equal axes, pixels and storage: number of images, their wells, first image."""
    groups: dict[object, list[ImageDescription]] = {}
    for image in description.images:
        groups.setdefault((image.axes, image.dtype, image.channels, image.storage), []).append(
            image
        )
    return [(str(len(group)), _wells(group), group[0]) for group in groups.values()]


def _wells(images: Sequence[ImageDescription]) -> str:
    names = list(dict.fromkeys("".join(image.well) for image in images if image.well))
    if len(names) <= _MAX_NAMED_WELLS:
        return ", ".join(names)
    return f"{len(names)} wells, {names[0]} to {names[-1]}"
