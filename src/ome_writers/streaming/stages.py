"""Stages in the thread of `append`: split RGB frames into planes, and sample the range of values for viewers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec
from ome_writers.routing import Address
from ome_writers.storage import Engine

Plane: TypeAlias = NDArray[np.generic]


_PIXELS_PER_PLANE = 4096
_NEVER = 2**63 - 1


def _sampled_ordinals() -> NDArray[np.int64]:
    """Return 0, 1, 2, 4, 7, 11, 17, 26, ...: about 30 up to a million.

    No step is a common divisor of the others, so that no plane of a z-stack is left out.
    """
    ordinals = [0]
    while ordinals[-1] < _NEVER // 2:
        ordinals.append(ordinals[-1] + 1 + ordinals[-1] // 2)
    return np.asarray(ordinals, np.int64)


_ORDINALS = _sampled_ordinals()


def _channel_axis(images: Sequence[ImageSpec]) -> int | None:
    dimensions = images[0].dimensions  # all images have the same axes
    return next((i for i, d in enumerate(dimensions) if d.type == "channel"), None)


class SplitSamples:
    """Yields one plane (y, x) per sample, from frames whose address has the number of an array; see `Stage`."""

    memory_bytes = 0

    def __init__(self, images: Sequence[ImageSpec]) -> None:
        self._addressings = {each.first_array: each for each in (i.addressing for i in images)}

    def __call__(self, address: Address, frame: Plane) -> Iterator[tuple[Address, Plane]]:
        array, index = address
        frames = self._addressings[array]
        for sample in range(frames.planes):
            yield (array, frames.plane(index, sample)), np.ascontiguousarray(frame[..., sample])


def read_frame(
    engine: Engine, image: ImageSpec, index: tuple[int, ...], level: int
) -> NDArray[np.generic]:
    """Return the frame at `index` of a level, from memory or disk; zeros if unwritten."""
    frames = image.addressing
    array = frames.first_array + level
    if frames.planes == 1:
        return engine.read(array, index)
    planes = [engine.read(array, frames.plane(index, s)) for s in range(frames.planes)]
    return np.stack(planes, axis=-1)


class SampledFrames:
    """Chooses frames of each image and channel: the first always, then ever fewer (`_sampled_ordinals`).

    Frames in acquisition order are chosen for a batch of addresses at once (see `Router.iter_addresses`), so that
    `append` only compares two numbers.
    """

    def __init__(self, images: Sequence[ImageSpec], *, enabled: bool) -> None:
        # offset in acquisition order of the next chosen frame, or of the first one that `observe` has not received
        self.next_offset = 0 if enabled else _NEVER
        self._enabled = enabled
        self._images = len(images)
        self._channel_axis = _channel_axis(images)
        self._offsets: deque[int] = deque()  # the chosen offsets that were received
        self._end = 0  # the offset after the received ones
        # received frames, by key of image and channel
        self._counts = np.zeros(self._images, np.int64)
        # by image and channel: frames, next chosen one
        self._explicit: dict[tuple[int, int], list[int]] = {}

    def observe(self, start: int, images: NDArray[np.int64], index: NDArray[np.int64]) -> None:
        """Choose from the addresses that follow the offset `start`, if they do not continue the earlier ones."""
        if not self._enabled:
            return
        if start != self._end:  # frames were skipped
            self._offsets.clear()
            self._counts[:] = 0
        keys = images
        if self._channel_axis is not None:
            keys = keys + self._images * index[:, self._channel_axis]
        counts = np.bincount(keys)
        found = np.flatnonzero(counts)
        counts = counts[found]
        if found[-1] >= len(self._counts):
            more = max(int(found[-1]) + 1, 2 * len(self._counts)) - len(self._counts)
            self._counts = np.pad(self._counts, (0, more))
        before = self._counts[found]
        self._counts[found] += counts
        chosen = np.searchsorted(_ORDINALS, before)
        if (_ORDINALS[chosen] < before + counts).any():
            inverse = np.searchsorted(found, keys)
            # number of each frame among those with the same key
            order = np.argsort(inverse, kind="stable")
            ranks = np.empty_like(order)
            ranks[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
            ordinals = before[inverse] + ranks
            matches = _ORDINALS[np.searchsorted(_ORDINALS, ordinals)] == ordinals
            self._offsets.extend((start + np.flatnonzero(matches)).tolist())
        self._end = start + len(images)
        self.next_offset = self._offsets[0] if self._offsets else self._end

    def take(self, offset: int) -> bool:
        """Return whether the frame at `offset` is chosen, and go on to the next one."""
        chosen = False
        while self._offsets and self._offsets[0] <= offset:
            chosen = self._offsets.popleft() == offset
        self.next_offset = self._offsets[0] if self._offsets else self._end
        return chosen

    def take_explicit(self, address: Address) -> bool:
        """Return whether a frame is chosen that was appended with an index."""
        if not self._enabled:
            return False
        image, index = address
        channel = 0 if self._channel_axis is None else index[self._channel_axis]
        counts = self._explicit.setdefault((image, channel), [0, 0])
        number, chosen = counts
        counts[0] += 1
        if number < chosen:
            return False
        counts[1] = number + 1 + number // 2
        return True


class DisplayRange:
    """Minimum and maximum per image and channel, of a subset of the pixels of each plane; see `storage.Stage`."""

    memory_bytes = 0

    def __init__(self, images: Sequence[ImageSpec]) -> None:
        # (image number, channel index) to (minimum, maximum)
        self.windows: dict[tuple[int, int], tuple[float, float]] = {}
        self._numbers = {image.addressing.first_array: image.number for image in images}
        self._channel_axis = _channel_axis(images)

    def __call__(self, address: Address, plane: Plane) -> tuple[tuple[Address, Plane]]:
        """Return the plane as it is."""
        array, index = address
        step = max(1, math.isqrt(plane.shape[0] * plane.shape[1] // _PIXELS_PER_PLANE))
        pixels = plane[::step, ::step]
        if pixels.dtype.kind == "c":
            with np.errstate(over="ignore"):
                pixels = np.abs(pixels)
        elif pixels.dtype.kind == "b":
            pixels = pixels.view(np.uint8)
        if pixels.dtype.kind == "f":
            pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            low, high = float(pixels.min()), float(pixels.max())
            channel = 0 if self._channel_axis is None else index[self._channel_axis]
            key = (self._numbers[array], channel)
            earlier = self.windows.get(key, (low, high))
            self.windows[key] = (min(low, earlier[0]), max(high, earlier[1]))
        return ((address, plane),)
