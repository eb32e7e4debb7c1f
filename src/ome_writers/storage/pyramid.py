"""Resolution levels while writing: an engine around another one, which reduces each plane and writes the results, too.

A plane is reduced in worker threads while the thread of `append` passes it to the inner engine. Reduction along z needs
two planes: the first one waits for its partner. If it waits for longer than a flush interval, or at `close`, it is
reduced with what the engine has stored of its partner, which may be zeros; a partner that arrives later replaces that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from ome_writers.downsampling import downsample
from ome_writers.locks import new_lock
from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import EngineStats, WriteFailure
from ome_writers.storage.waiting_planes import Waiting, WaitingPlanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.routing import ArrayPlan, ImagePlan
    from ome_writers.settings import PyramidMethod
    from ome_writers.storage.contract import Engine
    from ome_writers.storage.waiting_planes import Key

    Plane = NDArray[np.generic]

_INLINE_BYTES = 2**17  # passing smaller frames to another thread takes longer than reducing them


class _Step(NamedTuple):
    """From an array, `parent`, to the next smaller one, number `target`.

    `factors` are 1 or 2 along y and x. Planes along the index axis `axis`, if it is not None, are reduced in pairs.
    """

    target: int
    factors: tuple[int, int]
    axis: int | None
    parent: ArrayPlan


class PyramidEngine:
    """Writes full resolution to arrays 0 to n-1 of `engine`, and the levels of all images to the following ones.

    Implements `storage.contract.Engine` for arrays 0 to n-1; `read` also returns planes of the other arrays.

    The arrays of `engine` are those of full resolution, followed by those of all levels, image by image. Planes that
    wait for their partner along z use at most `waiting_bytes`; further ones are read back from the engine. If it
    accepts planes `in_order` only, no level may be reduced along z.
    """

    def __init__(
        self,
        engine: Engine,
        images: Sequence[ImagePlan],
        *,
        waiting_bytes: int,
        in_order: bool,
    ) -> None:
        self._engine = engine
        self._images = tuple(images)
        self._method: PyramidMethod = next(i.levels[0].pyramid.method for i in images if i.levels)
        self._in_order = in_order
        self._first_level: list[int] = []  # by image: number of the array of its first level
        self._steps: dict[int, _Step] = {}  # by number of the larger array
        for image in images:
            self._first_level.append(len(images) + len(self._steps))
            self._add_steps(image)
        self._waiting = WaitingPlanes(waiting_bytes, engine.read)  # only used by the one worker
        self._flushes = 0
        pairs = any(step.axis is not None for step in self._steps.values())
        self._inline = not pairs
        self._workers = 1 if pairs or in_order else available_cpus()
        self._background = Background(self._workers, name="ome-writers-pyramid")
        self._write_lock = new_lock()  # held while the engine is written to
        self._planes = [0, 0]  # passed to the engine: at full resolution, at all other levels
        self._closed = False
        self.failures = _Failures(engine.failures, self._background.failures)
        for name in ("lend", "reclaim", "patch", "truncate"):  # optional parts of the contract
            with suppress(AttributeError):
                setattr(self, name, getattr(engine, name))

    def array_of(self, image: int, level: int) -> int:
        """Return the number of the array of a level of an image; level 0 is full resolution."""
        return image if level == 0 else self._first_level[image] + level - 1

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: Plane,
        owned: bool = False,
    ) -> None:
        if array not in self._steps:
            self._write(number, array, index, frame, owned)
        elif self._inline and frame.nbytes <= _INLINE_BYTES:
            if self._in_order:
                self._write(number, array, index, frame, owned)
            self._run(partial(self._reduce, number, array, index, frame))
            if not self._in_order:
                self._write(number, array, index, frame, owned)
        else:
            reduced: SimpleQueue[None] = SimpleQueue()
            add = partial(self._add_frame, number, array, index, frame, reduced)
            if self._in_order:  # an interrupted frame must not have a level, but no pixels
                self._write(number, array, index, frame, owned)
                self._submit(add)
                reduced.get()
            elif owned:  # the engine may reuse a lent buffer as soon as it has written it
                self._submit(add)
                reduced.get()
                self._write(number, array, index, frame, owned)
            else:
                self._submit(add)
                self._write(number, array, index, frame, owned)
                reduced.get()

    def recover(self, number: int) -> bool:
        self._background.barrier()
        with self._write_lock:
            return self._engine.recover(number)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        if not self._inline and not self._closed:
            self._submit(self._finish_old_pairs)
        self._background.barrier()
        self._engine.flush(self._with_levels(shapes))

    def read(self, array: int, index: tuple[int, ...]) -> Plane:
        return self._engine.read(array, index)

    def put(self, key: str, content: bytes) -> None:
        self._engine.put(key, content)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        if self._closed:
            return
        self._closed = True
        self._submit(self._finish_all_pairs)
        self._background.close()
        self._engine.close(self._with_levels(shapes))

    def stats(self) -> EngineStats:
        """Return the progress at full resolution, and the bytes of all levels."""
        stats = self._engine.stats()
        full, others = self._planes
        return replace(stats, frames_written=stats.frames_written * full // ((full + others) or 1))

    def _add_steps(self, image: ImagePlan) -> None:
        parent, before = image.array, (1,) * len(image.array.shape)
        for k, level in enumerate(image.levels):
            step = [f // b for f, b in zip(level.factors, before, strict=True)]
            axis = next((i for i, f in enumerate(step[:-2]) if f > 1), None)
            source = self.array_of(image.number, k)
            target = self.array_of(image.number, k + 1)
            self._steps[source] = _Step(target, (step[-2], step[-1]), axis, parent)
            parent, before = level.array, level.factors

    def _with_levels(self, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        levels = [
            level.shape(shape)
            for image, shape in zip(self._images, shapes, strict=True)
            for level in image.levels
        ]
        return [*shapes, *levels]

    def _write(
        self, number: int, array: int, index: tuple[int, ...], frame: Plane, owned: bool
    ) -> None:
        with self._write_lock:
            self._engine.write(number, array, index, frame, owned)
            self._planes[array >= len(self._images)] += 1

    def _submit(self, task: Callable[[], object]) -> None:
        self._background.wait_until_below(2 * self._workers)
        self._background.submit(task)

    def _run(self, reduce: Callable[[], object]) -> None:
        try:
            reduce()
        except Exception as error:
            self._background.failures.append(WriteFailure(error))

    def _add_frame(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: Plane,
        reduced: SimpleQueue[None],
    ) -> None:
        """Reduce a frame; `reduced` gets an item when the frame itself is not needed any more."""
        try:
            if self._steps[array].axis is not None:
                frame = frame.copy()
                reduced.put(None)
            self._run(partial(self._reduce, number, array, index, frame, reduced))
        finally:
            reduced.put(None)

    def _reduce(
        self,
        number: int,
        source: int,
        index: tuple[int, ...],
        plane: Plane,
        reduced: SimpleQueue[None] | None = None,
    ) -> None:
        """Write what follows from a plane of array `source` to all smaller levels."""
        while (step := self._steps.get(source)) is not None:
            planes: Iterable[Plane] = (plane,)
            if step.axis is not None:
                pair = self._pair(step, Waiting(source, index, number, self._flushes), plane)
                if pair is None:
                    return
                planes, index = pair
            plane = downsample(tuple(planes), self._method, step.factors)
            source = step.target
            if reduced is not None:
                reduced.put(None)
            self._write(_level_number(number), source, index, plane, owned=True)

    def _pair(
        self, step: _Step, new: Waiting, plane: Plane
    ) -> tuple[tuple[Plane, ...], tuple[int, ...]] | None:
        """Return the planes of a pair in order, and the index of the result; None if one plane has to wait."""
        axis = step.axis
        assert axis is not None
        i = new.plane_index[axis]
        key = (step.target, (*new.plane_index[:axis], i // 2, *new.plane_index[axis + 1 :]))
        if axis != step.parent.growing and i ^ 1 >= step.parent.shape[axis]:
            return (plane,), key[1]
        first = self._waiting.get(key)
        if first is None or first.plane_index == new.plane_index:
            self._waiting.add(key, new, plane)
            return None
        _, other = self._waiting.pop(key)
        return ((other, plane) if i % 2 else (plane, other)), key[1]

    def _finish_pair(self, key: Key) -> None:
        """Reduce a plane with what is stored of its partner."""
        first, plane = self._waiting.pop(key)
        step = self._steps[first.source]
        axis = step.axis
        assert axis is not None
        i = first.plane_index[axis]
        partner = (*first.plane_index[:axis], i ^ 1, *first.plane_index[axis + 1 :])
        other = self._engine.read(first.source, partner)
        pair = (other, plane) if i % 2 else (plane, other)
        plane = downsample(pair, self._method, step.factors)
        self._write(_level_number(first.number), *key, plane, owned=True)
        self._reduce(first.number, *key, plane)

    def _finish_old_pairs(self) -> None:
        """Reduce the planes that have been waiting since before the previous flush."""
        self._flushes += 1
        for key, first in self._waiting.items():
            if first.flush < self._flushes - 1 and self._waiting.get(key) is first:
                self._run(partial(self._finish_pair, key))

    def _finish_all_pairs(self) -> None:
        while waiting := self._waiting.items():
            key, _ = min(waiting)  # the largest level first: its array has the smallest number
            self._run(partial(self._finish_pair, key))


class _Failures(Sequence[WriteFailure]):
    """Failures of the engine, followed by those of the reduction; without the numbers of planes of smaller levels."""

    def __init__(self, *parts: Sequence[WriteFailure]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, i: Any) -> Any:
        found = [failure for part in self._parts for failure in part]
        return [replace(f, frames=tuple(n for n in f.frames if n >= 0)) for f in found][i]


def _level_number(number: int) -> int:
    """Return the number of a plane of a smaller level for the engine: negative, since no frame is lost with it."""
    return number if number < 0 else -1 - number
