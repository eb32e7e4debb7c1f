"""`Router`: maps frame numbers and acquisition indices to addresses.

The map is linear: each acquisition axis advances either the image number or one storage axis by a fixed stride. This
covers permuted axes, cameras folded into channels, and axes whose indices become images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import EndOfAcquisitionError
from ome_writers.settings import Schedule

# `iter_addresses` computes this many addresses at once, so that the cost per frame is low
_BATCH_FRAMES = 1024


Address = tuple[int, tuple[int, ...]]
"""Image number, and index in storage order without y and x, counted in frames.

For frames of several planes (`Addressing.planes`), `Addressing.plane` returns the index of each plane.
"""

Observer: TypeAlias = Callable[[int, NDArray[np.int64], NDArray[np.int64]], None]
"""Receives a batch of addresses: the number of the first frame, and images and storage indices as arrays."""


class Step(NamedTuple):
    """One step along an acquisition axis advances the storage axis `axis` (None: the image number) by `stride`."""

    axis: int | None
    stride: int


@dataclass(frozen=True)
class Router:
    """Maps frame numbers and acquisition indices to addresses."""

    # names of the acquisition axes (with position, without y and x), slowest first
    axes: tuple[str, ...]
    counts: tuple[int | None, ...]  # their extents; only the first may be None (unbounded)
    steps: tuple[Step, ...]
    rank: int  # number of storage axes without y and x
    # the frame order of a ragged acquisition; None for nested loops over `counts`
    schedule: Schedule | None = None
    # number of frames of one cycle: all frames, or if unbounded, the frames after which the order repeats further along
    # the first axis
    period: int = field(init=False, repr=False, compare=False, default=1)

    def __post_init__(self) -> None:
        loops = math.prod(c for c in self._inner_counts if c is not None)
        rows = 1 if self.schedule is None else len(self.schedule.indices)
        object.__setattr__(self, "period", rows * loops)

    @property
    def frames(self) -> int | None:
        """Total number of frames; None if unbounded."""
        return None if self.counts and self.counts[0] is None else self.period

    def address(self, number: int) -> Address:
        """Return the address of frame `number`; raise EndOfAcquisitionError if there is no frame with this number."""
        if number < 0 or (self.frames is not None and number >= self.frames):
            raise EndOfAcquisitionError(
                f"Frame {number} is outside the acquisition of {self.frames} frames."
            )
        image, index = self.addresses(number, number + 1)
        return image[0], index[0]

    def addresses(self, start: int, stop: int) -> tuple[list[int], list[tuple[int, ...]]]:
        """Return the images and the storage indices of the frames ``start <= n < stop``."""
        image, index = self.address_arrays(start, stop)
        return image.tolist(), list(map(tuple, index.tolist()))

    def address_arrays(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return `addresses` as arrays of shape (n,) and (n, rank)."""
        return self.project(self.acquired(np.arange(start, stop, dtype=np.int64)))

    def iter_addresses(self, start: int = 0, observe: Observer | None = None) -> Iterator[Address]:
        """Iterate over the addresses from frame `start` to the end of the acquisition.

        `observe` is called with each batch of addresses before its first one is returned.
        """
        return chain.from_iterable(self._batches(start, observe))

    def _batches(self, start: int, observe: Observer | None) -> Iterator[Iterator[Address]]:
        end = self.frames
        while end is None or start < end:
            stop = start + _BATCH_FRAMES if end is None else min(start + _BATCH_FRAMES, end)
            images, index = self.address_arrays(start, stop)
            if observe is not None:
                observe(start, images, index)
            yield zip(images.tolist(), map(tuple, index.tolist()), strict=True)
            start = stop

    def indices(self, number: int) -> dict[str, int]:
        """Return the acquisition index of frame `number` by axis."""
        row = self.acquired(np.asarray([number], dtype=np.int64))[0].tolist()
        return dict(zip(self.axes, row, strict=True))

    def camera_indices(self, number: int, camera: int) -> dict[str, int]:
        """Return the acquisition index of frame `number` of one of several cameras, which are the last axis.

        Raises
        ------
        IndexError
            If the acquisition has fewer frames per camera.
        """
        cameras = self.counts[-1] or 1
        if self.frames is not None and number * cameras >= self.frames:
            raise IndexError(
                f"Frame {number} of a camera is outside the acquisition of {self.frames // cameras} frames per camera. "
                "An unbounded first dimension accepts any number."
            )
        return {**self.indices(number * cameras), self.axes[-1]: camera}

    def max_indices(self, frames: int) -> dict[str, int]:
        """Return the highest index along each axis among the first `frames` frames; -1 for no frames.

        One division per axis for nested loops; a search for a schedule.
        """
        if self.schedule is None:
            highest, inner_frames = [], 1
            for count in reversed(self.counts):
                last = (frames - 1) // inner_frames
                highest.append(last if count is None else min(last, count - 1))
                inner_frames *= count or 1
            return dict(zip(self.axes, reversed(highest), strict=True))
        maximum = np.full(len(self.axes), -1, dtype=np.int64)
        for start in range(0, frames, 65_536):
            numbers = np.arange(start, min(frames, start + 65_536), dtype=np.int64)
            maximum = np.maximum(maximum, self.acquired(numbers).max(axis=0))
        return dict(zip(self.axes, maximum.tolist(), strict=True))

    @cached_property
    def revisits(self) -> bool:
        """Whether the schedule contains an index more than once."""
        return self.schedule is not None and self._distinct_rows < len(self.schedule)

    def count_distinct(self, frames: int) -> int:
        """Return the number of distinct indices of all `frames` of the acquisition."""
        if self.schedule is None:
            return frames
        return frames // len(self.schedule) * self._distinct_rows

    def frame_number(self, index: Sequence[int]) -> int | None:
        """Return the number of the frame at an acquisition index; None if there is none.

        Must not be called if the schedule `revisits` an index.
        """
        number = 0
        scheduled: tuple[str, ...] = ()
        if self.schedule is not None:
            scheduled = self.schedule.axes
            row = [index[self.axes.index(name)] for name in scheduled]
            cycle = 0
            if self.counts[0] is None and self.axes[0] in scheduled:
                first = scheduled.index(self.axes[0])
                cycle, row[first] = divmod(row[first], self._row_extents[first])
            if any(i >= n for i, n in zip(row, self._row_extents, strict=True)):
                return None
            codes, order = self._row_codes
            code = np.ravel_multi_index(row, self._row_extents)
            at = int(np.searchsorted(codes, code))
            if at == len(codes) or codes[at] != code:
                return None
            number = cycle * len(codes) + int(order[at])
        for name, i, count in zip(self.axes, index, self.counts, strict=True):
            if name not in scheduled:
                number = number * (count or 1) + i
        return number

    def address_of(self, index: Sequence[int]) -> Address:
        """Return the address of an acquisition index (one integer per axis of `axes`)."""
        image, stored = 0, [0] * self.rank
        for i, (axis, stride) in zip(index, self.steps, strict=True):
            if axis is None:
                image += i * stride
            else:
                stored[axis] += i * stride
        return image, tuple(stored)

    def index_of(self, address: Address) -> dict[str, int]:
        """Return the acquisition index of an address, by axis."""
        rest = [address[0], *address[1]]
        index = dict.fromkeys(self.axes, 0)
        by_stride = sorted(
            zip(self.axes, self.counts, self.steps, strict=True), key=lambda axis: -axis[2].stride
        )
        for name, count, (axis, stride) in by_stride:
            column = 0 if axis is None else 1 + axis
            i = rest[column] // stride
            index[name] = i if count is None else min(i, count - 1)
            rest[column] -= index[name] * stride
        return index

    @cached_property
    def strides(self) -> NDArray[np.int64]:
        """The number of an acquisition index is its product with these: the frame number if there is no schedule."""
        counts = [count or 1 for count in self.counts]
        return np.array([math.prod(counts[axis:]) for axis in range(1, len(counts) + 1)], np.int64)

    def complete_index(self, index: Mapping[str, int], repeat: int = 0) -> dict[str, int]:
        """Return the full acquisition index for a partial one.

        Omitted axes advance in order with `repeat`, the number of earlier frames with the same partial index.

        Raises IndexError if an axis is unknown, or an index is out of range; TypeError if it is not a mapping to
        integers.
        """
        try:
            unknown = index.keys() - set(self.axes)
            full = {name: int(index.get(name, 0)) for name in self.axes}
        except (AttributeError, TypeError, ValueError):
            example = dict.fromkeys(self.axes, 0)
            raise TypeError(
                f"index must be a dict of axis name to whole number, such as index={example}, got {index!r}."
            ) from None
        if unknown:
            raise IndexError(
                f"index names {sorted(unknown, key=str)}, but the axes of this acquisition are "
                f"{list(self.axes)}."
            )
        for name, count in reversed(list(zip(self.axes, self.counts, strict=True))):
            if name not in index:
                repeat, full[name] = (0, repeat) if count is None else divmod(repeat, count)
        for name, count in zip(self.axes, self.counts, strict=True):
            if full[name] < 0 or (count is not None and full[name] >= count):
                raise IndexError(
                    f"index {{{name!r}: {full[name]}}} is out of range: the axis has count {count}, from index 0."
                )
        return full

    @cached_property
    def _inner_counts(self) -> tuple[int | None, ...]:
        """The extents of the axes that advance in nested loops: all, or those that are not in the schedule."""
        if self.schedule is None:
            return self.counts
        return tuple(
            c for a, c in zip(self.axes, self.counts, strict=True) if a not in self.schedule.axes
        )

    @cached_property
    def _row_extents(self) -> tuple[int, ...]:
        """The extent of each axis of the schedule."""
        assert self.schedule is not None
        return tuple(map(self.schedule.count, self.schedule.axes))

    @cached_property
    def _row_codes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the schedule, each as one number, in ascending order; and the number of each row."""
        assert self.schedule is not None
        codes = np.asarray(np.ravel_multi_index(tuple(self.schedule.indices.T), self._row_extents))
        order = np.argsort(codes)
        return codes[order], order

    @cached_property
    def _distinct_rows(self) -> int:
        return 1 + int(np.count_nonzero(np.diff(self._row_codes[0])))

    @cached_property
    def _matrix(self) -> NDArray[np.int64]:
        """Shape (acquisition axes, 1 + rank): column 0 is the image number."""
        matrix = np.zeros((len(self.axes), 1 + self.rank), dtype=np.int64)
        for row, (axis, stride) in enumerate(self.steps):
            matrix[row, 0 if axis is None else 1 + axis] = stride
        return matrix

    def project(self, acquired: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return images (n,) and storage indices (n, rank) of acquisition indices (n, axes)."""
        addresses = acquired @ self._matrix
        return addresses[:, 0], addresses[:, 1:]

    def acquired(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the acquisition index of each frame number, shape (n, axes)."""
        out = np.zeros((len(numbers), len(self.axes)), dtype=np.int64)
        quotient = numbers
        for i in reversed(range(len(self.axes))):
            count = self.counts[i]
            if self.schedule is not None and self.axes[i] in self.schedule.axes:
                continue
            if count is None:
                out[:, i] = quotient
            else:
                quotient, out[:, i] = np.divmod(quotient, count)
        if self.schedule is not None:
            cycle, row = np.divmod(quotient, len(self.schedule.indices))
            for column, name in enumerate(self.schedule.axes):
                out[:, self.axes.index(name)] = self.schedule.indices[row, column]
            if self.counts[0] is None and self.axes[0] in self.schedule.axes:
                first = self.schedule.axes.index(self.axes[0])
                out[:, 0] += cycle * (int(self.schedule.indices[:, first].max()) + 1)
        return out
