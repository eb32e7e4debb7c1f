"""Resolution levels while writing: a stage that reduces each plane, and pairs of planes along z.

The first plane of a pair waits for the second one. If it waits for longer than a flush interval, or at `close`, it is
reduced with what the engine has stored of its partner, which may be zeros; a partner that arrives later replaces that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec, LevelSpec
from ome_writers.downsampling import ForEach, call_each, downsample
from ome_writers.routing import Address
from ome_writers.settings import PyramidMethod
from ome_writers.storage.background import available_cpus
from ome_writers.storage.contract import Engine, Options
from ome_writers.storage.staged_engine import StagedEngine

Plane = NDArray[np.generic]


class _Waiting(NamedTuple):
    """Array and index of a plane, and after how many flushes it arrived."""

    source: int
    plane_index: tuple[int, ...]
    flush: int


class _WaitingPlanes:
    """At most one plane of each pair, by the address of the plane that the pair becomes.

    Pixels that exceed `max_bytes` are dropped, oldest first, and read back.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._planes: dict[Address, _Waiting] = {}
        self._pixels: dict[Address, Plane] = {}
        self._nbytes = 0

    def get(self, target: Address) -> _Waiting | None:
        return self._planes.get(target)

    def items(self) -> list[tuple[Address, _Waiting]]:
        return list(self._planes.items())

    def add(self, target: Address, waiting: _Waiting, plane: Plane) -> None:
        """Add a plane, in place of an earlier one of the same pair."""
        self._drop(target)
        self._planes[target] = waiting
        self._pixels[target] = plane
        self._nbytes += plane.nbytes
        while self._nbytes > self._max_bytes:
            self._drop(next(iter(self._pixels)))

    def pop(
        self, target: Address, read: Callable[[int, tuple[int, ...]], Plane]
    ) -> tuple[_Waiting, Plane]:
        waiting = self._planes.pop(target)
        plane = self._drop(target)
        return waiting, read(waiting.source, waiting.plane_index) if plane is None else plane

    def _drop(self, target: Address) -> Plane | None:
        """Return the pixels of a plane, which are not in memory any more."""
        plane = self._pixels.pop(target, None)
        self._nbytes -= 0 if plane is None else plane.nbytes
        return plane


class _Step(NamedTuple):
    """From an array, `parent`, to the next smaller one, whose number is one higher.

    `factors` are 1 or 2 along y and x. Planes along the index axis `axis`, if it is not None, are reduced in pairs.
    """

    factors: tuple[int, int]
    axis: int | None
    parent: LevelSpec
    method: PyramidMethod


class Downsampling:
    """Yields each plane, and what follows from it for all smaller levels; see `stages.Stage`.

    Planes that wait use up to a quarter of `buffer_bytes`; further ones are read back from the engine.
    """

    read: Callable[
        [int, tuple[int, ...]], Plane
    ]  # returns a stored plane; set before the first call

    def __init__(self, images: Sequence[ImageSpec], buffer_bytes: int) -> None:
        self._steps: dict[int, _Step] = {}  # by number of the larger array
        self.memory_bytes = 0
        for image in images:
            self.add_arrays(image.addressing.first_array, image.levels)
        self.memory_bytes *= max(1, buffer_bytes // 4)
        self._waiting = _WaitingPlanes(self.memory_bytes)
        self._flushes = 0
        self.for_each: ForEach = call_each  # see `downsample`

    def __call__(self, address: Address, plane: Plane) -> Iterator[tuple[Address, Plane]]:
        yield address, plane
        yield from self._levels(address, plane)

    def flush(self, *, last: bool) -> Iterator[tuple[Address, Plane]]:
        """Reduce planes with what is stored of their partners."""
        self._flushes += 1
        oldest_kept = self._flushes - 1
        while targets := [t for t, w in self._waiting.items() if last or w.flush < oldest_kept]:
            target = min(targets)  # the largest level first
            first, plane = self._waiting.pop(target, self.read)
            step = self._steps[first.source]
            axis = step.axis
            assert axis is not None
            index, i = first.plane_index, first.plane_index[axis]
            other = self.read(first.source, (*index[:axis], i ^ 1, *index[axis + 1 :]))
            pair = (other, plane) if i % 2 else (plane, other)
            plane = downsample(pair, step.method, step.factors, self.for_each)
            yield target, plane
            yield from self._levels(target, plane)

    def add_arrays(self, first: int, targets: Sequence[LevelSpec]) -> None:
        """Compute the smaller levels among arrays with the numbers from `first` on; see `ExtensibleStage`."""
        for source, (parent, level) in enumerate(pairwise(targets), first):
            if (reduction := level.reduction) is None:
                continue
            before = parent.reduction.factors if parent.reduction else (1,) * len(parent.shape)
            step = [f // b for f, b in zip(reduction.factors, before, strict=True)]
            axis = next((i for i, f in enumerate(step[:-2]) if f > 1), None)
            if axis is not None and not self.memory_bytes:
                self.memory_bytes = 1
            method = reduction.pyramid.method
            self._steps[source] = _Step((step[-2], step[-1]), axis, parent, method)

    def _levels(self, address: Address, plane: Plane) -> Iterator[tuple[Address, Plane]]:
        """Yield what follows from a plane for all smaller levels."""
        while (step := self._steps.get(address[0])) is not None:
            planes: tuple[Plane, ...] = (plane,)
            address, index = (address[0] + 1, address[1]), address[1]
            if step.axis is not None:
                axis, i = step.axis, index[step.axis]
                address = address[0], (*index[:axis], i // 2, *index[axis + 1 :])
                if axis == step.parent.growing or i ^ 1 < step.parent.shape[axis]:
                    first = self._waiting.get(address)
                    if first is None or first.plane_index == index:
                        waiting = _Waiting(address[0] - 1, index, self._flushes)
                        self._waiting.add(address, waiting, plane.copy())
                        return
                    _, other = self._waiting.pop(address, self.read)
                    planes = (other, plane) if i % 2 else (plane, other)
            plane = downsample(planes, step.method, step.factors, self.for_each)
            yield address, plane


def open_with_levels(
    opener: Callable[[Sequence[LevelSpec], Options], Engine],
    images: Sequence[ImageSpec],
    options: Options,
) -> Engine:
    """Open an engine for all arrays of the images; it computes the smaller levels."""
    targets = [level for image in images for level in image.levels]
    stage = Downsampling(images, options.buffer_bytes)
    options = replace(
        options,
        buffer_bytes=options.buffer_bytes - stage.memory_bytes,
        processors_busy=available_cpus() <= 2,
    )
    engine = StagedEngine(opener(targets, options), stage)
    stage.read, stage.for_each = engine.read, engine.share
    return engine
