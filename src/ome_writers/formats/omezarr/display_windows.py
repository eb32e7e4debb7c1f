"""Display windows of the channels of all images, as the data become known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ome_writers.routing import ImagePlan

    Range = tuple[float, float]
    """Smallest and largest value."""

__all__ = ["DisplayWindows"]

WIDENING = 1.5
"""A window is outdated when the range of the data is this many times as wide."""


class DisplayWindows:
    """The range of values that each channel of each image shows.

    A channel of which an image has no sampled frame shows the range of that channel in all images: positions of
    one acquisition are alike, and the full range of the dtype would be black.

    Parameters
    ----------
    images
        All images of the acquisition.
    """

    def __init__(self, images: Iterable[ImagePlan]) -> None:
        self._dtypes = [image.array.dtype for image in images]
        self._shown: list[dict[int, Range]] = [{} for _ in self._dtypes]
        self._sampled: dict[tuple[int, int], Range] = {}
        self._common: dict[tuple[int, object], Range] = {}  # by channel and dtype, over all images
        self._outdated: list[int] = []

    def outdated(self, sampled: Mapping[tuple[int, int], Range]) -> list[int]:
        """Return the images whose windows have become much too narrow; those with samples of their own first.

        Parameters
        ----------
        sampled
            (image number, channel number) to the range of the frames that were sampled so far.
        """
        if sampled != self._sampled:
            self._sampled = dict(sampled)
            self._outdated = list(range(len(self._shown)))
        if not self._outdated:
            return []
        self._common = self._over_all_images()
        channels = {channel for _, channel in self._sampled}
        self._outdated = [
            number
            for number in self._outdated
            if any(self._is_wider(number, channel) for channel in channels)
        ]
        own = {number for number, _ in self._sampled}
        self._outdated.sort(key=lambda number: number not in own)
        return list(self._outdated)

    def of(self, number: int) -> Mapping[int, Range]:
        """Return the windows of an image by channel number, and note that they are shown from now on."""
        channels = {channel for _, channel in self._sampled}
        found = {channel: self._range(number, channel) for channel in channels}
        self._shown[number] = {c: seen for c, seen in found.items() if seen is not None}
        return self._shown[number]

    def _is_wider(self, number: int, channel: int) -> bool:
        shown, seen = self._shown[number].get(channel), self._range(number, channel)
        if seen is None or shown is None:
            return seen is not None
        return seen[1] - seen[0] > WIDENING * (shown[1] - shown[0])

    def _range(self, number: int, channel: int) -> Range | None:
        own = self._sampled.get((number, channel))
        return own or self._common.get((channel, self._dtypes[number]))

    def _over_all_images(self) -> dict[tuple[int, object], Range]:
        common: dict[tuple[int, object], Range] = {}
        for (number, channel), (low, high) in self._sampled.items():
            key = (channel, self._dtypes[number])
            first = common.get(key, (low, high))
            common[key] = min(low, first[0]), max(high, first[1])
        return common
