"""Display windows (``omero``) of the channels of all images, from the range of sampled frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ome_writers.dataset import ImageSpec

Range = tuple[float, float]
"""Smallest and largest value."""

MIN_WIDENING = 1.5
"""A display window is outdated if the range of the data is this many times as wide."""


class DisplayWindows:
    """Display windows by image and channel.

    A channel without a sampled frame in an image gets the range of that channel over all images: the positions of one
    acquisition are similar, and with the full range of the dtype the image would be black. With `shared`, every image
    gets that range: viewers show all fields of a plate with the window of the first one.
    """

    def __init__(self, images: Iterable[ImageSpec], *, shared: bool) -> None:
        self._shared = shared
        self._dtypes = [image.array.dtype for image in images]
        self._current: list[dict[int, Range]] = [{} for _ in self._dtypes]
        self._sampled: dict[tuple[int, int], Range] = {}
        self._common: dict[tuple[int, object], Range] = {}  # by channel and dtype, over all images
        self._outdated: list[int] = []

    def update(self, sampled: Mapping[tuple[int, int], Range]) -> list[int]:
        """Record sampled ranges; return the images whose windows are much too narrow, most urgent first."""
        if sampled != self._sampled:
            self._sampled = dict(sampled)
            self._outdated = list(range(len(self._current)))
        if not self._outdated:
            return []
        self._common = self._over_all_images()
        channels = {channel for _, channel in self._sampled}
        self._outdated = [
            number
            for number in self._outdated
            if any(self._is_wider(number, channel) for channel in channels)
        ]
        if not self._shared:  # the first field of a plate stays first
            own = {number for number, _ in self._sampled}
            self._outdated.sort(key=lambda number: number not in own)
        return list(self._outdated)

    def refresh(self, number: int) -> Mapping[int, Range]:
        """Set the windows of an image to the sampled ranges; return them by channel number."""
        channels = {channel for _, channel in self._sampled}
        ranges = {channel: self._range(number, channel) for channel in channels}
        self._current[number] = {c: each for c, each in ranges.items() if each is not None}
        return self._current[number]

    def _is_wider(self, number: int, channel: int) -> bool:
        current, sampled = self._current[number].get(channel), self._range(number, channel)
        if sampled is None or current is None:
            return sampled is not None
        return sampled[1] - sampled[0] > MIN_WIDENING * (current[1] - current[0])

    def _range(self, number: int, channel: int) -> Range | None:
        own = None if self._shared else self._sampled.get((number, channel))
        return own or self._common.get((channel, self._dtypes[number]))

    def _over_all_images(self) -> dict[tuple[int, object], Range]:
        common: dict[tuple[int, object], Range] = {}
        for (number, channel), (low, high) in self._sampled.items():
            key = (channel, self._dtypes[number])
            first = common.get(key, (low, high))
            common[key] = min(low, first[0]), max(high, first[1])
        return common
