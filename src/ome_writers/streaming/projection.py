"""`Projection`: the maximum, minimum, sum or mean of the frames along an axis, kept while they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import SettingsError
from ome_writers.formats import Derivation
from ome_writers.routing import Plan
from ome_writers.streaming.derived import DerivedWriter, derived_settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ome_writers.settings import AcquisitionSettings
    from ome_writers.streaming.derived import DerivedStream
    from ome_writers.streaming.frame_writer import FrameWriter
    from ome_writers.streaming.stored_frames import StoredFrames

ProjectionMethod: TypeAlias = Literal["max", "min", "mean", "sum"]
METHODS: tuple[ProjectionMethod, ...] = ("max", "min", "mean", "sum")
_MAX_MEMORY_FRACTION = 8  # of `buffer_bytes`, for frames that are not complete


def projected_dtype(method: ProjectionMethod, dtype: np.dtype[np.generic]) -> str:
    """Return the dtype of a projection: sums of up to 65,537 frames fit, means have a fraction.

    Raises SettingsError for an unknown method, or one that is not defined for the dtype.
    """
    if method not in METHODS:
        raise SettingsError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if dtype.kind == "c" or (dtype.kind == "b" and method not in ("max", "min")):
        raise SettingsError(
            f"The {method} of {dtype.name} frames is not defined. Use another method."
        )
    if method in ("max", "min"):
        return str(dtype.name)
    small = dtype.itemsize <= 2
    if method == "mean":
        return "float32" if small or dtype.name == "float32" else "float64"
    if dtype.kind == "f":
        return "float64"
    bits = "32" if small else "64"
    return f"uint{bits}" if dtype.kind == "u" else f"int{bits}"


class _Stack:
    """The frames so far of one plane of the projection."""

    def __init__(self) -> None:
        self.pixels: NDArray[Any] | None = None  # None: on disk only
        self.included: set[int] = set()
        self.changed = False  # since it was written


class Projection:
    """Includes each frame of a stream in a plane of derived images.

    Planes that are not complete use at most an eighth of `buffer_bytes`; others are written, and read back. All methods
    are called with the stream's lock held.
    """

    def __init__(
        self, writer: DerivedWriter, method: ProjectionMethod, axis: str, source: Plan
    ) -> None:
        self._writer = writer
        self._method = method
        self._axis = axis
        self._stacks: dict[tuple[int, ...], _Stack] = {}  # not complete, least recently used first
        image = writer.plan.images[0]
        self._dtype = image.array.numpy_dtype
        kept: np.dtype[Any] = np.dtype(np.float64) if method == "mean" else self._dtype
        self._shape = image.frame_shape
        nbytes = int(np.prod(image.frame_shape)) * kept.itemsize
        self._kept = kept
        self._max_stacks = max(1, source.settings.buffer_bytes // _MAX_MEMORY_FRACTION // nbytes)
        self._of_integers = source.images[0].array.numpy_dtype.kind in "iub"

    def include(
        self, source: FrameWriter, acquired: Mapping[str, int], frame: NDArray[Any]
    ) -> None:
        """Include a frame that was written at an acquisition index."""
        target = {name: i for name, i in acquired.items() if name != self._axis}
        key, number = tuple(target.values()), acquired[self._axis]
        stack = self._stacks.pop(key, None)
        if stack is None:
            stack = _Stack()
            if self._writer.frames.cursor.has_frame(key):  # complete, or restored from disk
                stack.included = set(self._written(source, target))
                stack.included.add(number)
                self._recompute(source, target, stack)
                self._finish(source.plan, target, key, stack)
                return
        if number in stack.included:
            self._recompute(source, target, stack)
        else:
            self._add(stack, frame, target)
            stack.included.add(number)
        stack.changed = True
        self._finish(source.plan, target, key, stack)

    def restore(self, source: FrameWriter) -> None:
        """Continue the planes of an earlier stream; compute those again that may contain frames that were lost."""
        if (earlier := source.resumed) is None:
            return
        router, extents = source.plan.router, source.extents()
        names = [name for name in router.axes if name != self._axis]
        total = router.counts[router.axes.index(self._axis)]
        changed: set[tuple[int, ...]] | None = None
        flushed = earlier.flushed
        if self._writer.stored is not None and not _is_of_last_stream(self._writer.stored, earlier):
            flushed = 0
        elif earlier.unflushed is not None:
            lost = map(router.index_of, earlier.unflushed)
            changed = {tuple(at[name] for name in names) for at in lost}
        for key in product(*(range(extents[name]) for name in names)):
            target, stack = dict(zip(names, key, strict=True)), _Stack()
            stack.included = set(self._written(source, target))
            stored = self._writer.frames.cursor.has_frame(key)
            complete = len(stack.included) == total
            if changed is not None:
                current = stored and key not in changed
            else:
                current = stored and complete and self._flushed(source, target, flushed)
            if current:
                if stack.included and not complete:
                    self._stacks[key] = stack
            elif stack.included:
                self._recompute(source, target, stack)
                self._finish(source.plan, target, key, stack)
            elif stored:
                self._writer.write(np.zeros(self._shape, self._dtype), target, copy=False)

    def _flushed(self, source: FrameWriter, target: Mapping[str, int], flushed: int) -> bool:
        """Return whether all frames of a plane are among the first `flushed` ones."""
        router = source.plan.router
        for i in range(router.counts[router.axes.index(self._axis)] or 0):
            at = {**target, self._axis: i}
            number = router.frame_number([at[name] for name in router.axes])
            if number is None or number >= flushed:
                return False
        return True

    def write_incomplete(self) -> None:
        """Write the planes that have changed."""
        for key, stack in self._stacks.items():
            if stack.changed:
                self._store(dict(zip(self._writer.plan.router.axes, key, strict=True)), stack)

    def _finish(
        self, plan: Plan, target: dict[str, int], key: tuple[int, ...], stack: _Stack
    ) -> None:
        """Write a complete plane, and keep another one."""
        count = plan.router.counts[plan.router.axes.index(self._axis)]
        if count is not None and len(stack.included) >= count:
            self._store(target, stack)
            return
        self._stacks[key] = stack
        in_memory = [each for each in self._stacks.items() if each[1].pixels is not None]
        if len(in_memory) > self._max_stacks:
            oldest, evicted = in_memory[0]
            if evicted.changed:
                self._store(dict(zip(target, oldest, strict=True)), evicted)
            evicted.pixels = None

    def _written(self, source: FrameWriter, target: Mapping[str, int]) -> list[int]:
        """Return the indices along the axis that have a frame."""
        router = source.plan.router
        count = router.counts[router.axes.index(self._axis)] or source.extents()[self._axis]
        indices = ({**target, self._axis: i} for i in range(count))
        return [
            each[self._axis]
            for each in indices
            if source.cursor.has_frame([each[name] for name in router.axes])
        ]

    def _recompute(self, source: FrameWriter, target: Mapping[str, int], stack: _Stack) -> None:
        """Compute a plane again from the stored frames, of which one was replaced."""
        router = source.plan.router
        stack.pixels = None
        numbers, stack.included, stack.changed = sorted(stack.included), set(), True
        for number in numbers:
            at = {**target, self._axis: number}
            image, index = router.address_of([at[name] for name in router.axes])
            self._add(stack, source.read(image, index), target)
            stack.included.add(number)

    def _add(self, stack: _Stack, frame: NDArray[Any], target: Mapping[str, int]) -> None:
        if not stack.included:
            stack.pixels = np.array(frame, self._kept)
            return
        if stack.pixels is None:
            stack.pixels = self._read_back(stack, target)
        if self._method == "max":
            np.maximum(stack.pixels, frame, out=stack.pixels)
        elif self._method == "min":
            np.minimum(stack.pixels, frame, out=stack.pixels)
        else:
            np.add(stack.pixels, frame, out=stack.pixels, casting="unsafe")

    def _read_back(self, stack: _Stack, target: Mapping[str, int]) -> NDArray[Any]:
        image, index = self._writer.plan.router.address_of(list(target.values()))
        stored = self._writer.frames.read(image, index)
        if self._method != "mean":
            return np.array(stored, self._kept)
        total = stored.astype(np.float64) * len(stack.included)
        return np.rint(total) if self._of_integers else total

    def _store(self, target: Mapping[str, int], stack: _Stack) -> None:
        assert stack.pixels is not None
        pixels = stack.pixels
        if self._method == "mean":
            pixels = (pixels / len(stack.included)).astype(self._dtype)
        elif pixels.dtype != self._dtype:
            pixels = pixels.astype(self._dtype)
        self._writer.write(pixels, target, copy=True)
        stack.changed = False


def start_projection(
    derived: DerivedStream,
    source: FrameWriter,
    lock: AbstractContextManager[Any],
    method: ProjectionMethod,
    axis: str,
) -> Projection:
    """Return the projection that writes derived images; it continues that of an earlier stream."""
    projection = Projection(derived.writer, method, axis, source.plan)
    with lock:
        projection.restore(source)
    derived.use_projection(projection.write_incomplete)
    return projection


def _is_of_last_stream(projected: StoredFrames, source: StoredFrames) -> bool:
    """Return whether the last stream that wrote frames has certainly continued their projection."""
    *earlier, last = source.attempts
    if source.continued or not earlier:
        return True
    began, before = str(last["started"])[:19], str(earlier[-1]["ended"] or "9")[:19]
    return before < began <= str(projected.attempts[-1]["started"])[:19]


def write_projected(
    projections: list[Projection],
    source: FrameWriter,
    frame: Any,
    index: Mapping[str, int] | None,
    encoded: bytes | None,
    copy: bool,
) -> int | Mapping[str, int]:
    """Write a frame of the stream, and include it in its projections."""
    pixels = frame if copy else np.array(frame)  # the engine may reuse its memory
    written_at = source.write(frame, index, encoded, copy)
    acquired = source.plan.router.indices(written_at) if isinstance(written_at, int) else written_at
    for projection in projections:
        projection.include(source, acquired, np.asarray(pixels))
    return written_at


def projection_settings(
    plan: Plan, method: ProjectionMethod, axis: str, name: str | None
) -> tuple[Derivation, AcquisitionSettings]:
    """Return what a projection of the frames of a plan along an axis is; see `OMEStream.project`."""
    settings, image = plan.settings, plan.images[0]
    if axis not in plan.router.axes:
        raise SettingsError(
            f"The acquisition does not have an axis {axis!r} to project along. Its axes are: "
            f"{', '.join(plan.router.axes)}."
        )
    if any(each.type == "position" and each.name == axis for each in settings.dimensions):
        raise SettingsError(
            f"Positions are images of their own: frames cannot be projected along {axis!r}."
        )
    dtype = projected_dtype(method, image.array.numpy_dtype)
    dimensions = [dim.name for dim in settings.dimensions if dim.name != axis]
    parameters = {"method": method, "axis": axis}
    derivation = Derivation.of(
        name or f"{method}_{axis}", "image", None, "ome_writers.OMEStream.project", parameters
    )
    rgb = settings.rgb if image.frame_shape[2:] else False
    return derivation, derived_settings(settings, derivation, dtype, dimensions, rgb)
