"""Draws a contact sheet: one row a position and channel, one column a time point, as a PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from ome_writers.cli.witness import Seen, SeenImage

THUMBNAIL = 160  # pixels, both ways
GAP = 6
MARGIN = 110  # room for the names of the rows
HEAD = 58  # room for the title and the numbers of the columns
COLUMNS = 8
BACKGROUND, INK, FAINT = (17, 19, 24), (238, 240, 244), (150, 156, 168)
TINTS = ((120, 170, 255), (110, 235, 140), (255, 120, 120), (255, 210, 110))


def draw_contact_sheet(seen: Seen, title: str, path: Path) -> None:
    """Save the middle plane of every position, channel and (up to eight) time points.

    Each channel of an image has one contrast, from the darkest thousandth to the brightest, so
    that time points can be compared.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows = [(image, channel) for image in seen.images for channel in range(_size(image, "c"))]
    times = _columns(max((_size(image, "t") for image in seen.images), default=1))
    step = THUMBNAIL + GAP
    size = (MARGIN + len(times) * step + GAP, HEAD + len(rows) * step + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    large, small = (ImageFont.load_default(points) for points in (18, 13))

    draw.text((GAP * 2, GAP * 2), title, fill=INK, font=large)
    for column, time in enumerate(times):
        draw.text((MARGIN + column * step, HEAD - 18), f"t = {time}", fill=FAINT, font=small)
    for row, (image, channel) in enumerate(rows):
        top = HEAD + row * step
        label = image.channels[channel] if channel < len(image.channels) else f"c = {channel}"
        draw.text((GAP * 2, top), image.name[:14], fill=INK, font=small)
        draw.text((GAP * 2, top + 18), label[:14], fill=TINTS[channel % len(TINTS)], font=small)
        planes = [_thumbnail(image, channel, time) for time in times]
        for column, pixels in enumerate(_tint(planes, channel)):
            sheet.paste(Image.fromarray(pixels), (MARGIN + column * step, top))
    sheet.save(path)


def _size(image: SeenImage, axis: str) -> int:
    return int(image.pixels.shape[image.axes.index(axis)]) if axis in image.axes else 1


def _columns(times: int) -> list[int]:
    """Spread at most `COLUMNS` columns over the time points, the first and last included."""
    if times <= COLUMNS:
        return list(range(times))
    return [round(n * (times - 1) / (COLUMNS - 1)) for n in range(COLUMNS)]


def _thumbnail(image: SeenImage, channel: int, time: int) -> np.ndarray:
    """Return the middle plane as float64 of shape (THUMBNAIL, THUMBNAIL), blocks averaged."""
    import numpy as np
    from PIL import Image

    plane = image.plane({"t": time, "c": channel, "z": _size(image, "z") // 2})
    floating = Image.fromarray(plane.astype(np.float32))
    return np.asarray(floating.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float64)


def _tint(planes: list[np.ndarray], channel: int) -> list[np.ndarray]:
    """Turn planes (y, x) into colours (y, x, 3) of uint8 with one contrast for all."""
    import numpy as np

    low, high = np.percentile(np.stack(planes), (0.1, 99.9))
    colour = np.array(TINTS[channel % len(TINTS)], np.float64)
    spread = max(high - low, 1e-9)
    return [
        (np.clip((plane - low) / spread, 0, 1)[..., None] * colour).astype(np.uint8)
        for plane in planes
    ]
