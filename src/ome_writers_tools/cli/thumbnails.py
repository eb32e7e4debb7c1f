"""Planes as small pictures: resampled, and blended in the colors and display windows of their channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers import Channel
from ome_writers.toolkit import printable

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
_PALETTE: tuple[Color, ...] = ((90, 140, 255), (60, 220, 90), (255, 80, 80), (255, 190, 40))
"""Colors of channels without one, if there are several."""


@dataclass(frozen=True)
class Display:
    """How a channel is shown: its name, and its color between the limits of the display window."""

    name: str
    color: Color
    window: tuple[float, float]


def thumbnail(plane: NDArray[Any], box_px: int) -> NDArray[np.float32]:
    """Return a plane (y, x) or (y, x, 3), resampled so that its longer side is `box_px`."""
    from PIL import Image

    if plane.ndim == 3:
        return np.stack([thumbnail(plane[..., i], box_px) for i in range(3)], axis=-1)
    real = np.abs(plane) if np.iscomplexobj(plane) else plane
    zoom = box_px / max(real.shape)
    size = (max(1, round(real.shape[1] * zoom)), max(1, round(real.shape[0] * zoom)))
    picture = Image.fromarray(real.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.nan_to_num(np.asarray(picture, np.float32))


def displays(
    channels: Sequence[Channel], planes: Sequence[Sequence[NDArray[np.float32]]]
) -> list[Display]:
    """Return the display of each channel.

    Without a display window, it is between the 0.1 and 99.9 percentiles of the channel's `planes`; without a color, it
    is white, or one of four colors if there are several channels.
    """
    found = []
    for number, (channel, shown) in enumerate(zip(channels, planes, strict=True)):
        color = _color(channel)
        if color == WHITE and len(channels) > 1:
            color = _PALETTE[number % len(_PALETTE)]
        window = channel.window
        if window is None:
            values = np.concatenate([plane.ravel() for plane in shown]) if shown else np.zeros(1)
            low, high = np.percentile(values, (0.1, 99.9))
            window = (float(low), float(high))
        found.append(Display(printable(channel.name), color, window))
    return found


def _color(channel: Channel) -> Color:
    red, green, blue, *_ = channel.display_color.as_rgb_tuple() if channel.display_color else WHITE
    return (red, green, blue)


def blend(planes: Sequence[NDArray[np.float32]], shown_as: Sequence[Display]) -> NDArray[np.uint8]:
    """Return the sum of planes in the colors of their channels, shape (y, x, 3); RGB planes keep their colors."""
    total: Any = 0.0
    for plane, display in zip(planes, shown_as, strict=True):
        low, high = display.window
        scaled = np.clip((plane - low) / max(high - low, 1e-9), 0, 1)
        total = total + (
            scaled * 255.0 if plane.ndim == 3 else scaled[..., None] * np.array(display.color)
        )
    pixels: NDArray[np.uint8] = np.clip(total, 0, 255).astype(np.uint8)
    return pixels


def scale_bar(pixel_size: float, max_px: float) -> tuple[float, float]:
    """Return the longest round length (1, 2 or 5 times a power of ten) up to `max_px` pixels, and its pixels.

    >>> scale_bar(0.65, 100)
    (50.0, 76.92307692307692)
    """
    longest = pixel_size * max_px
    power = 10.0 ** math.floor(math.log10(longest))
    length = next(step * power for step in (5, 2, 1) if step * power <= longest * (1 + 1e-9))
    return length, length / pixel_size
