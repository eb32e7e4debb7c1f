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
from typing import TYPE_CHECKING, NamedTuple, overload

from ome_writers.downsampling import downsample
from ome_writers.locks import new_lock
from ome_writers.storage.background import Background, available_cpus
from ome_writers.storage.contract import ArrayTarget, EngineStats, WriteFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.downsampling import Method
    from ome_writers.routing import ArrayPlan, ImagePlan
    from ome_writers.storage.contract import Engine

    Plane = NDArray[np.generic]
    Key = tuple[int, tuple[int, ...]]

__all__ = ["PyramidEngine", "level_targets", "waiting_bytes"]

_INLINE_BYTES = 2**17  # passing smaller frames to another thread takes longer than reducing them


def level_targets(
    images: Sequence[ImagePlan], targets: Sequence[ArrayTarget], keys: Sequence[Sequence[str]]
) -> list[ArrayTarget]:
    """Return the arrays of all levels below full resolution, image by image; `targets` are those of full resolution."""
    return [
        ArrayTarget(key, level.array, target.order)
        for image, target, names in zip(images, targets, keys, strict=True)
        for key, level in zip(names, image.levels, strict=True)
    ]


def waiting_bytes(images: Sequence[ImagePlan], buffer_bytes: int) -> int:
    """Return how much of `buffer_bytes` planes that wait for their partner along z may use."""
    pairs = any(image.levels and image.levels[-1].pairs_planes for image in images)
    return buffer_bytes // 4 if pairs else 0


class _Step(NamedTuple):
    """From one array of an image to the next smaller one.

    Attributes
    ----------
    target
        Number of the smaller array.
    factors
        1 or 2 along y and x.
    axis
        The index axis whose planes are reduced in pairs; None if there is none.
    parent
        The larger array.
    """

    target: int
    factors: tuple[int, int]
    axis: int | None
    parent: ArrayPlan


class _First(NamedTuple):
    """Array, index and frame number of the plane of a pair that arrived first, and after how many flushes."""

    source: int
    plane_index: tuple[int, ...]
    number: int
    flush: int


class PyramidEngine:
    """Writes full resolution to arrays 0 to n-1 of `engine`, and the levels of all images to the following ones.

    Implements `storage.contract.Engine` for arrays 0 to n-1; `read` also returns planes of the other arrays.

    Parameters
    ----------
    engine
        The engine. It has been opened with the targets of full resolution, followed by `level_targets`.
    images
        The images.
    method
        How planes are reduced.
    waiting_bytes
        Maximum memory for planes that wait for their partner along z; further ones are read back from the engine.
    in_order
        Whether the engine accepts planes in order only; then no level may be reduced along z.
    """

    def __init__(
        self,
        engine: Engine,
        images: Sequence[ImagePlan],
        method: Method,
        *,
        waiting_bytes: int = 0,
        in_order: bool = False,
    ) -> None:
        self._engine = engine
        self._images = tuple(images)
        self._method = method
        self._waiting_bytes = waiting_bytes
        self._in_order = in_order
        self._first_level: list[int] = []  # by image: number of the array of its first level
        self._steps: dict[int, _Step] = {}  # by number of the larger array
        for image in images:
            self._first_level.append(len(images) + len(self._steps))
            self._add_steps(image)
        # by target array and index: planes that wait for their partner, and the pixels of the latest of them;
        # only used by the one worker
        self._waiting: dict[Key, _First] = {}
        self._held: dict[Key, Plane] = {}
        self._held_bytes = 0
        self._flushes = 0
        pairs = any(step.axis is not None for step in self._steps.values())
        self._inline = not pairs
        self._workers = 1 if pairs or in_order else available_cpus()
        self._background = Background(self._workers, name="ome-writers-pyramid")
        self._write_lock = new_lock()  # held while the engine is written to
        self._planes = [0, 0]  # passed to the engine: at full resolution, at all other levels
        self._closed = False
        self.failures: Sequence[WriteFailure] = _Failures(
            engine.failures, self._background.failures
        )
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
            self._run(number, partial(self._reduce, number, array, index, frame))
            if not self._in_order:
                self._write(number, array, index, frame, owned)
        else:
            reduced: SimpleQueue[None] = SimpleQueue()
            add = partial(self._add_frame, number, array, index, frame, reduced, owned)
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

    # ------------------------------------------------------------------ planning

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

    # ------------------------------------------------------------------ writing

    def _write(
        self, number: int, array: int, index: tuple[int, ...], frame: Plane, owned: bool
    ) -> None:
        with self._write_lock:
            self._engine.write(number, array, index, frame, owned)
            self._planes[array >= len(self._images)] += 1

    def _submit(self, task: Callable[[], object]) -> None:
        self._background.wait_until_below(2 * self._workers)
        self._background.submit(task)

    def _run(self, number: int, reduce: Callable[[], object]) -> None:
        try:
            reduce()
        except Exception as error:
            self._background.failures.append(WriteFailure(error, (_level_number(number),)))

    # ------------------------------------------------------------------ in the workers

    def _add_frame(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: Plane,
        reduced: SimpleQueue[None],
        owned: bool,
    ) -> None:
        """Reduce a frame; `reduced` gets an item when the frame itself is not needed any more."""
        try:
            if self._steps[array].axis is not None:
                frame = frame.copy()
                reduced.put(None)
            self._run(number, partial(self._reduce, number, array, index, frame, reduced))
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
                pair = self._pair(step, _First(source, index, number, self._flushes), plane)
                if pair is None:
                    return
                planes, index = pair
            plane = downsample(tuple(planes), self._method, step.factors)
            source = step.target
            if reduced is not None:
                reduced.put(None)
            self._write(_level_number(number), source, index, plane, owned=True)

    def _pair(
        self, step: _Step, new: _First, plane: Plane
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
            self._pop(key)
            self._wait(key, new, plane)
            return None
        return self._ordered(i, plane, self._pop(key)), key[1]

    def _ordered(self, i: int, plane: Plane, other: Plane | None) -> tuple[Plane, ...]:
        assert other is not None
        return (other, plane) if i % 2 else (plane, other)

    def _wait(self, key: Key, first: _First, plane: Plane) -> None:
        self._waiting[key] = first
        self._held[key] = plane
        self._held_bytes += plane.nbytes
        while self._held_bytes > self._waiting_bytes:
            self._held_bytes -= self._held.pop(next(iter(self._held))).nbytes

    def _pop(self, key: Key) -> Plane | None:
        """Return the waiting plane of a pair, which does not wait any more; None if there is none."""
        first = self._waiting.pop(key, None)
        if first is None:
            return None
        plane = self._held.pop(key, None)
        if plane is None:
            return self._engine.read(first.source, first.plane_index)
        self._held_bytes -= plane.nbytes
        return plane

    def _finish_pair(self, key: Key) -> None:
        """Reduce a plane with what is stored of its partner."""
        first = self._waiting[key]
        plane = self._pop(key)
        step = self._steps[first.source]
        axis = step.axis
        assert axis is not None
        i = first.plane_index[axis]
        partner = (*first.plane_index[:axis], i ^ 1, *first.plane_index[axis + 1 :])
        pair = self._ordered(i ^ 1, self._engine.read(first.source, partner), plane)
        plane = downsample(pair, self._method, step.factors)
        self._write(_level_number(first.number), *key, plane, owned=True)
        self._reduce(first.number, *key, plane)

    def _finish_pairs(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key in self._waiting:
                self._run(self._waiting[key].number, partial(self._finish_pair, key))

    def _finish_old_pairs(self) -> None:
        """Reduce the planes that have been waiting since before the previous flush."""
        self._flushes += 1
        old = [k for k, first in self._waiting.items() if first.flush < self._flushes - 1]
        self._finish_pairs(old)

    def _finish_all_pairs(self) -> None:
        while self._waiting:  # the largest level first: its array has the smallest number
            self._finish_pairs([min(self._waiting, key=lambda key: key[0])])


class _Failures(Sequence[WriteFailure]):
    """Failures of the engine, followed by those of the reduction; without the numbers of planes of smaller levels."""

    def __init__(self, engine: Sequence[WriteFailure], levels: Sequence[WriteFailure]) -> None:
        self._parts = (engine, levels)

    def __len__(self) -> int:
        return len(self._parts[0]) + len(self._parts[1])

    @overload
    def __getitem__(self, i: int) -> WriteFailure: ...

    @overload
    def __getitem__(self, i: slice) -> list[WriteFailure]: ...

    def __getitem__(self, i: int | slice) -> WriteFailure | list[WriteFailure]:
        found = [
            replace(failure, frames=tuple(n for n in failure.frames if n >= 0))
            for part in self._parts
            for failure in part
        ]
        return found[i]


def _level_number(number: int) -> int:
    """Return the number of a plane of a smaller level for the engine: negative, since no frame is lost with it."""
    return number if number < 0 else -1 - number
