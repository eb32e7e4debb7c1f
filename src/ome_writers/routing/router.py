"""Where frame n goes: a pure function of n.

The map is linear. Each acquisition axis advances either the number of the image or one storage
axis by a fixed step, so a permutation, cameras folded into channels and axes that become images of a
collection are all the same thing: a row of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.errors import EndOfAcquisitionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ome_writers.settings import Schedule

__all__ = ["Address", "Router", "Step"]

_BLOCK = 1024  # addresses computed at once by `iter_addresses`: long enough to cost nothing a frame


Address = tuple[int, tuple[int, ...]]
"""The place of a frame: the number of its image, and its index in storage order (no y, x), counted in frames.

Where a frame is several planes (`ImagePlan.planes`), `ImagePlan.plane` says which.
"""


class Step(NamedTuple):
    """How far one step along an acquisition axis moves the address.

    `axis` is the storage axis that moves by `stride`; None means the image number moves.
    """

    axis: int | None
    stride: int


@dataclass(frozen=True)
class Router:
    """Frame numbers and acquisition indices to addresses.

    Attributes
    ----------
    axes
        Names of the acquisition axes (with position, without y and x), slowest first.
    counts
        Their extents; None (the first only) has no end.
    steps
        One `Step` an axis.
    rank
        Number of storage axes without y and x.
    schedule
        The order of a ragged acquisition; None for the nested loops over `counts`.
    period
        Number of frames after which the order begins anew, further on along the axis that has no end; of all frames
        where each axis has one.
    """

    axes: tuple[str, ...]
    counts: tuple[int | None, ...]
    steps: tuple[Step, ...]
    rank: int
    schedule: Schedule | None = None
    period: int = field(init=False, repr=False, compare=False, default=1)

    def __post_init__(self) -> None:
        loops = math.prod(c for c in self._inner_counts if c is not None)
        rows = 1 if self.schedule is None else len(self.schedule.indices)
        object.__setattr__(self, "period", rows * loops)

    @property
    def frames(self) -> int | None:
        """Number of frames in all; None when there is no end."""
        return None if self.counts and self.counts[0] is None else self.period

    def address(self, number: int) -> Address:
        """Return the place of frame `number`.

        Raises
        ------
        EndOfAcquisitionError
            If `number` lies outside the plan.
        """
        if number < 0 or (self.frames is not None and number >= self.frames):
            raise EndOfAcquisitionError(
                f"Frame {number} lies outside the acquisition of {self.frames} frames."
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

    def iter_addresses(self, start: int = 0) -> Iterator[Address]:
        """Iterate over the addresses from frame `start` to the end, if there is one."""
        return chain.from_iterable(self._blocks(start))

    def _blocks(self, start: int) -> Iterator[Iterator[Address]]:
        """Yield the addresses of many frames at once: what one of them costs is then little."""
        end = self.frames
        while end is None or start < end:
            stop = start + _BLOCK if end is None else min(start + _BLOCK, end)
            images, index = self.addresses(start, stop)
            yield zip(images, index, strict=True)
            start = stop

    def indices(self, number: int) -> dict[str, int]:
        """Return the acquisition index of frame `number` by axis."""
        row = self.acquired(np.asarray([number], dtype=np.int64))[0].tolist()
        return dict(zip(self.axes, row, strict=True))

    def max_indices(self, frames: int) -> dict[str, int]:
        """Return the highest index along each axis among the first `frames` frames; -1 before any.

        Nested loops need no more than a division an axis; a schedule is looked through.
        """
        if self.schedule is None:
            highest, loops = [], 1
            for count in reversed(self.counts):
                last = (frames - 1) // loops
                highest.append(last if count is None else min(last, count - 1))
                loops *= count or 1
            return dict(zip(self.axes, reversed(highest), strict=True))
        most = np.full(len(self.axes), -1, dtype=np.int64)
        for start in range(0, frames, 65_536):
            numbers = np.arange(start, min(frames, start + 65_536), dtype=np.int64)
            most = np.maximum(most, self.acquired(numbers).max(axis=0))
        return dict(zip(self.axes, most.tolist(), strict=True))

    @cached_property
    def revisits(self) -> bool:
        """Whether the schedule comes to some place more than once."""
        if self.schedule is None:
            return False
        rows = self.schedule.indices
        return len(np.unique(rows, axis=0)) < len(rows)

    def frame_number(self, index: Sequence[int]) -> int | None:
        """Return the number of the frame that has an acquisition index; None where a schedule decides."""
        if self.schedule is not None:
            return None
        number = 0
        for i, count in zip(index, self.counts, strict=True):
            number = number * (count or 1) + i
        return number

    def address_of(self, index: Sequence[int]) -> Address:
        """Return the place of an acquisition index (one int an axis of `axes`)."""
        image, place = self.project(np.asarray([index], dtype=np.int64))
        return int(image[0]), tuple(place[0].tolist())

    def complete_index(self, index: Mapping[str, int], repeat: int = 0) -> dict[str, int]:
        """Return the whole acquisition index that `index` names in part.

        Axes that it leaves out count on in order: `repeat` says how many frames came to this same partial index
        before.

        Raises
        ------
        IndexError
            If an axis is unknown or a value lies outside its extent.
        """
        unknown = set(index) - set(self.axes)
        if unknown:
            raise IndexError(
                f"index names {sorted(unknown)}, but the axes of this acquisition are "
                f"{list(self.axes)}."
            )
        full = {name: int(index.get(name, 0)) for name in self.axes}
        for name, count in reversed(list(zip(self.axes, self.counts, strict=True))):
            if name not in index:
                repeat, full[name] = (0, repeat) if count is None else divmod(repeat, count)
        for name, count in zip(self.axes, self.counts, strict=True):
            if full[name] < 0 or (count is not None and full[name] >= count):
                raise IndexError(
                    f"index {{{name!r}: {full[name]}}} is out of range: the axis has {count} places."
                )
        return full

    @cached_property
    def _inner_counts(self) -> tuple[int | None, ...]:
        """The extents that count on by themselves: all, or those a schedule does not name."""
        if self.schedule is None:
            return self.counts
        return tuple(
            c for a, c in zip(self.axes, self.counts, strict=True) if a not in self.schedule.axes
        )

    @cached_property
    def _matrix(self) -> NDArray[np.int64]:
        """Shape (acquisition axes, 1 + rank): column 0 is the image number."""
        matrix = np.zeros((len(self.axes), 1 + self.rank), dtype=np.int64)
        for row, (axis, stride) in enumerate(self.steps):
            matrix[row, 0 if axis is None else 1 + axis] = stride
        return matrix

    def project(self, acquired: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return images (n,) and storage indices (n, rank) of acquisition indices (n, axes)."""
        place = acquired @ self._matrix
        return place[:, 0], place[:, 1:]

    def acquired(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the acquisition index of each frame number, shape (n, axes)."""
        out = np.zeros((len(numbers), len(self.axes)), dtype=np.int64)
        rest = numbers
        for i in reversed(range(len(self.axes))):
            count = self.counts[i]
            if self.schedule is not None and self.axes[i] in self.schedule.axes:
                continue
            if count is None:
                out[:, i] = rest
            else:
                rest, out[:, i] = np.divmod(rest, count)
        if self.schedule is not None:
            cycle, row = np.divmod(rest, len(self.schedule.indices))
            for column, name in enumerate(self.schedule.axes):
                out[:, self.axes.index(name)] = self.schedule.indices[row, column]
            if self.counts[0] is None and self.axes[0] in self.schedule.axes:
                first = self.schedule.axes.index(self.axes[0])
                out[:, 0] += cycle * (int(self.schedule.indices[:, first].max()) + 1)
        return out
