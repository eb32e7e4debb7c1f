"""The contact sheet of what somebody else's reader has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.contact_sheet import SheetRow, draw_sheet, spread

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.cli.demo.third_party_readers import Seen, SeenImage


def draw_contact_sheet(seen: Seen, title: str, path: Path, *, overwrite: bool) -> None:
    """Save the middle plane of every position, channel and (up to eight) time points."""
    times = spread(max((_size(image, "t") for image in seen.images), default=1))
    rows = [
        SheetRow(
            image.name,
            image.channels[channel] if channel < len(image.channels) else f"c = {channel}",
            channel,
            tuple(
                image.plane({"t": time, "c": channel, "z": _size(image, "z") // 2})
                for time in times
            ),
        )
        for image in seen.images
        for channel in range(_size(image, "c"))
    ]
    draw_sheet(rows, [f"t = {time}" for time in times], title, path, overwrite=overwrite)


def _size(image: SeenImage, axis: str) -> int:
    return int(image.pixels.shape[image.axes.index(axis)]) if axis in image.axes else 1
