"""Which tasks can run while the dataset is being written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ome_writers import read
from ome_writers.toolkit import lock_owner, lock_path, view_names
from ome_writers_tools.conversion import Selection
from ome_writers_tools.mirroring import is_growing
from ome_writers_tools.processing.tasks import Task

_POLL_INTERVAL_S = 0.2


def ready_tasks(source: Selection, tasks: Sequence[Task]) -> Iterator[Task | None]:
    """Yield each task when its frames are on disk, and None before each wait, until the writer has ended."""
    plan, kept = tasks[0].target, tasks[0].kept
    names = plan.dims[:-2]
    sizes = {"p": 1, **dict(zip(names, plan.shards or plan.chunks, strict=False))}
    axes = [name for name in view_names(source.spec.dimensions) if name in sizes.keys() - {*kept}]
    last = last_frames(source, {name: sizes[name] for name in axes})

    def last_frame(task: Task) -> int:
        starts = [shards.start for shards in task.region]
        block = {"p": task.image, **dict(zip(names, starts, strict=True))}
        return int(last[tuple(block[name] for name in axes)])

    for task in sorted(tasks, key=last_frame):
        if not _is_on_disk(source.spec.path, last_frame(task)):
            yield None
            if not wait_for_frame(source.spec.path, last_frame(task)):
                return
        yield task


def last_frames(source: Selection, sizes: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the number, in order of acquisition, of the last frame of each block.

    `sizes` are the extents of a block along axes of the dataset, in acquisition order; along the others it is the whole
    dataset. The result has the axes `sizes`.
    """
    if not sizes:
        return np.array(len(source.indices) - 1)
    names = view_names(source.spec.dimensions)
    columns = [names.index(name) for name in sizes]
    blocks = source.indices[:, columns] // [*sizes.values()]
    last = np.zeros(blocks.max(axis=0) + 1, np.int64)
    np.maximum.at(last, tuple(blocks.T), np.arange(len(blocks)))
    return last


def wait_for_frame(path: Path, number: int) -> bool:
    """Wait until a frame and all before it are on disk; return False if the writer ends before."""
    while is_growing(path):
        if _is_on_disk(path, number):
            return True
        time.sleep(_POLL_INTERVAL_S)
    return False


def wait_for_end(path: Path) -> None:
    """Wait until the writer of a dataset has closed it and released its lock, or was killed."""
    while lock_owner(lock_path(path, folder=path.is_dir())) is not None:
        time.sleep(_POLL_INTERVAL_S)


def _is_on_disk(path: Path, number: int) -> bool:
    return number < (read(path).frames_in_order or 0)
