"""`StoredFrames`: the frames of a dataset that is resumed, and the indices that it lacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.formats import format_row
from ome_writers.routing import Address, Plan, Router
from ome_writers.storage import run_stages
from ome_writers.streaming.cursor import runs_of
from ome_writers.streaming.stages import DisplayRange, SampledFrames, SplitSamples, read_frame

if TYPE_CHECKING:
    from ome_writers.formats import Attempt, Reopened, ResumableDataset
    from ome_writers.routing import Observer
    from ome_writers.storage import Engine, Stage
    from ome_writers.streaming.cursor import Cursor

_BATCH_FRAMES = 65_536  # frames whose indices are in memory at the same time
_MAX_SAMPLES = 256  # frames that are read for display windows


class StoredFrames(NamedTuple):
    """The frames of a dataset that is resumed; numbers are those in acquisition order."""

    router: Router
    in_order: int  # number of frames before the first one that is missing
    kept: tuple[Address, ...]  # addresses of the frames after that one
    total: int
    runs: Sequence[tuple[int, int]]  # of their numbers; see `Cursor.pop_runs`
    pixels: NDArray[
        np.int64
    ]  # numbers of the frames with pixels: also of those whose metadata was lost
    shapes: tuple[tuple[int, ...], ...]  # of the images, as they are on disk
    # (image number, channel number) to the (smallest, largest) sampled value
    windows: Mapping[tuple[int, int], tuple[float, float]]
    # so many frames, in acquisition order, were certainly flushed, and what is derived from them
    flushed: int = 0
    unflushed: frozenset[Address] | None = None  # all frames that may not have been; None: unknown
    attempts: tuple[Attempt, ...] = ()  # the streams that wrote them
    continued: bool = False  # whether the last of them has continued all projections

    def move(self, cursor: Cursor, observe: Observer) -> None:
        """Move a cursor to the first frame that is missing; `observe` receives the addresses before it."""
        cursor.kept = frozenset(self.kept)
        cursor.explicit = set(cursor.kept)
        for start in range(0, self.in_order, _BATCH_FRAMES):
            stop = min(self.in_order, start + _BATCH_FRAMES)
            images, index = self.router.address_arrays(start, stop)
            observe(start, images, index)
            if self.router.revisits:
                cursor.visited.update(zip(images.tolist(), map(tuple, index.tolist()), strict=True))
        cursor.offset, cursor.accepted = self.in_order, self.total
        cursor.reset_iterator()
        cursor.pop_runs()  # these frames are not new


def remaining_indices(cursor: Cursor, router: Router) -> Iterator[dict[str, int]]:
    """Return the acquisition indices without a frame, as of this call; see `OMEStream.remaining`."""
    return _indices_except(router, cursor.offset, cursor.explicit | cursor.visited)


def _indices_except(router: Router, offset: int, filled: set[Address]) -> Iterator[dict[str, int]]:
    for number, address in enumerate(router.iter_addresses(offset), offset):
        if address not in filled:
            yield router.indices(number)
            if router.revisits:
                filled.add(address)


def stored_frames(
    plan: Plan,
    dataset: ResumableDataset,
    reopened: Reopened,
    flushed: Sequence[range] | None = None,
    *,
    is_exact: bool = False,
) -> StoredFrames:
    """Return which frames are on disk, with their metadata.

    If the writer was killed, frames after the last flush are not: their metadata may be lost. `flushed` are the runs of
    frames in its progress file; None or empty if they are not known. They are exact unless power was lost since.
    """
    end = plan.frames
    if end is None:
        axis, stride = plan.router.steps[0]
        reached = [mask.shape[axis or 0] for mask in reopened.frames]
        end = -(-max(reached) // stride) * plan.router.period
    found, described = (
        _by_number(plan, masks, end) for masks in (reopened.frames, reopened.described)
    )
    runs = flushed if flushed and (is_exact or described.sum() < dataset.frames_written) else ()
    kept = _kept(plan, dataset, found, described, runs)
    in_order = int(np.argmin(kept)) if not kept.all() else len(kept)
    addresses = _addresses(plan, np.flatnonzero(kept[in_order:]) + in_order)
    count = int(kept.sum())
    if plan.router.revisits:
        count = len({*addresses, *_addresses(plan, np.arange(in_order))})
    shapes = [existing.shape for existing in reopened.existing]
    return StoredFrames(
        plan.router,
        in_order,
        addresses,
        count,
        runs_of(_numbers(plan.router, np.flatnonzero(kept))),
        np.flatnonzero(found),
        tuple(shapes[image.addressing.first_array] for image in plan.images),
        {},
        dataset.frames_in_order or 0,
        attempts=dataset.attempts,
    )


def _kept(
    plan: Plan,
    dataset: ResumableDataset,
    found: NDArray[np.bool_],
    described: NDArray[np.bool_],
    runs: Sequence[range],
) -> NDArray[np.bool_]:
    """Return which frames with pixels were certainly flushed; `runs` are those in the progress file, if it is used."""
    if dataset.status == "complete" and plan.frames is not None:
        return found
    if dataset.status in ("complete", "cancelled") and found.sum() <= dataset.frames_written:
        return found  # closed, with each of these frames
    if runs:
        recorded = np.concatenate([np.arange(run.start, run.stop) for run in runs])
        return found & (described | np.isin(_numbers(plan.router, np.arange(len(found))), recorded))
    if described.sum() >= dataset.frames_written:  # each flushed frame has metadata
        return found & described
    if dataset.status != "writing" and not described.any():
        return found
    flushed = dataset.frames_in_order
    if flushed is None:
        flushed = _flushed_in_order(found, described, dataset.frames_written)
    return found & (described | (np.arange(len(found)) < flushed))


def _flushed_in_order(found: NDArray[np.bool_], described: NDArray[np.bool_], flushed: int) -> int:
    """Return how many frames of a writer in acquisition order were flushed; 0 for one in another order.

    Of the latter, later frames have pixels before earlier ones, and some have frame metadata beyond the number flushed.
    A kill between the writes of frame metadata and of that number leaves the second in acquisition order as well.
    """
    if not found[:flushed].all():
        return 0
    last = int(np.flatnonzero(described)[-1]) + 1 if described.any() else 0
    if last <= flushed:
        return flushed
    return last if not found[int(np.argmin(found)) :].any() or found.all() else 0


def sampled_windows(
    plan: Plan, engine: Engine, stored: StoredFrames, reopened: Reopened
) -> Mapping[tuple[int, int], tuple[float, float]]:
    """Return the range of the frames that the earlier stream has sampled; as in its metadata if there are too many."""
    if not format_row(plan.settings.format.name).has_display_windows:
        return {}
    sampled = SampledFrames(plan.images, enabled=True)
    chosen: list[int] = []
    end = int(stored.pixels[-1]) + 1 if len(stored.pixels) else 0
    for start in range(0, end, _BATCH_FRAMES):
        stop = min(end, start + _BATCH_FRAMES)
        sampled.observe(start, *plan.router.address_arrays(start, stop))
        while sampled.next_offset < stop and len(chosen) <= _MAX_SAMPLES:
            chosen.append(sampled.next_offset)
            sampled.take(sampled.next_offset)
    if len(chosen) > _MAX_SAMPLES:
        return reopened.windows
    measured = DisplayRange(plan.images)
    split = SplitSamples(plan.images)
    kept = set(stored.kept)
    for number in chosen:
        image, index = plan.router.address(number)
        if number >= stored.in_order and (image, index) not in kept:
            continue
        spec = plan.images[image]
        stages: list[Stage] = [measured] if spec.addressing.planes == 1 else [split, measured]
        frame = read_frame(engine, spec, index, 0)
        deque(run_stages(stages, (spec.addressing.first_array, index), frame), maxlen=0)
    return measured.windows


def _by_number(plan: Plan, masks: Sequence[NDArray[np.bool_]], end: int) -> NDArray[np.bool_]:
    """Return for each of the first `end` frames in acquisition order what the mask of its image contains."""
    found = np.zeros(end, bool)
    for start in range(0, end, _BATCH_FRAMES):
        stop = min(end, start + _BATCH_FRAMES)
        images, index = plan.router.address_arrays(start, stop)
        for number in np.unique(images).tolist():
            mask, chosen = masks[number], np.flatnonzero(images == number)
            inside = (index[chosen] < mask.shape).all(axis=1)
            chosen = chosen[inside]
            found[start + chosen] = mask[tuple(index[chosen].T)]
    return found


def _numbers(router: Router, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers (see `Router.strides`) of frames at offsets in acquisition order."""
    return router.acquired(offsets) @ router.strides


def _addresses(plan: Plan, numbers: NDArray[np.int64]) -> tuple[Address, ...]:
    images, index = plan.router.project(plan.router.acquired(numbers))
    return tuple(zip(images.tolist(), map(tuple, index.tolist()), strict=True))
