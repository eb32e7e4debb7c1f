"""What a stream needs to continue a dataset on disk; each format provides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.formats.dataset_metadata import DatasetMetadata, Layout
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import ExistingArray

    ReopenDerived = Callable[[Path, AcquisitionSettings], DatasetMetadata | None]
    """Reopens the derived dataset at a path with these settings; returns its metadata, None if it does not exist."""

Attempt = dict[str, Any]
"""Start and end (ISO 8601), number of frames, and host of one of the streams that wrote a dataset."""


@dataclass(frozen=True)
class ResumableDataset:
    """A dataset that a stream can continue, as its metadata describes it."""

    plan: Plan  # of the stored settings, with the arrays on disk
    layout: Layout
    status: str
    # as of the last flush: the number of frames, and how many of them precede the first missing one in order
    frames_written: int
    frames_in_order: int | None  # None: not recorded
    attempts: tuple[Attempt, ...]  # of all streams so far
    # repairs the dataset if asked to, returns what a stream continues, and prepares the journals; its arguments are
    # this dataset, perhaps with a longer first axis, and whether to repair it
    reopen: Callable[[ResumableDataset, bool], Reopened]


@dataclass(frozen=True)
class Reopened:
    """A dataset whose metadata is in memory again."""

    metadata: DatasetMetadata
    journal: Journal
    existing: tuple[ExistingArray, ...]  # by number of the array
    # by image: which frames have pixels, and which have frame metadata, in storage order
    frames: tuple[NDArray[np.bool_], ...]
    described: tuple[NDArray[np.bool_], ...]
    # (image number, channel number) to the values that the display window starts and ends with
    windows: Mapping[tuple[int, int], tuple[float, float]]


def all_attempts(
    recorded: object, *, started: object, ended: object, frames: int, host: str | None = None
) -> tuple[Attempt, ...]:
    """Return the recorded attempts, the last of which ended at `ended`, when there were `frames` frames in all.

    Datasets that were never resumed do not have a record: the first attempt began at `started`.
    """
    attempts = (
        [dict(a) for a in recorded if isinstance(a, dict)] if isinstance(recorded, list) else []
    )
    last = attempts.pop() if attempts else {"started": started, "host": host}
    finished = finished_attempt(last, attempts, ended, frames)
    return (*attempts, finished) if finished["frames"] or not attempts else tuple(attempts)


def finished_attempt(
    last: Attempt, earlier: Sequence[Attempt], ended: object, frames: int
) -> Attempt:
    """Return the last attempt with its end and its number of frames; `frames` is that of all attempts."""
    before = sum(a["frames"] for a in earlier if type(a.get("frames")) is int)
    host = last.get("host")
    return {
        "started": last.get("started"),
        "ended": ended,
        "frames": max(0, frames - before),
        **({"host": host} if host else {}),
    }


def finish_attempts(own: dict[str, Any], frames: int) -> None:
    """Complete the last of the ``attempts`` in attributes or an annotation; `frames` is the number of all frames."""
    recorded = own.get("attempts")
    if isinstance(recorded, list) and recorded:
        *earlier, last = recorded
        finished = finished_attempt(last, earlier, own.get("updated"), frames)
        # a stream that has not written any frame is not an attempt
        own["attempts"] = [*earlier, finished] if finished["frames"] or not earlier else earlier


def frame_mask(
    plan: Plan, image: int, shape: Sequence[int], indices: Sequence[Sequence[int]]
) -> NDArray[np.bool_]:
    """Return a mask of `shape`, in frames, of the first planes of frames at storage `indices`."""
    addressing, mask = plan.images[image].addressing, np.zeros(shape, bool)
    for index in indices:
        at = list(index)
        if len(at) != mask.ndim:
            continue
        if addressing.plane_axis is not None:
            at[addressing.plane_axis] //= addressing.planes
        if all(map(int.__lt__, at, mask.shape)):
            mask[tuple(at)] = True
    return mask
