"""The process limit of open files, for a library that silently loses frames when the limit is reached."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

from ome_writers import LevelSpec, UnsupportedError

_RESERVED_DESCRIPTORS = 16  # for metadata, and files that the application opens meanwhile


def refuse_few_descriptors(levels: Sequence[LevelSpec]) -> None:
    """Check that this process may open as many files as the library keeps open for these arrays.

    Raises UnsupportedError if not.
    """
    if sys.platform == "win32":
        return  # no such limit
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = sum(map(_open_files, levels)) + len(os.listdir("/dev/fd")) + _RESERVED_DESCRIPTORS
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise UnsupportedError(
            f"Backend 'acquire-zarr' does not support settings: it keeps about {needed} files open for "
            f"{len(levels)} arrays, and this process may open {limit}. Raise the limit with `ulimit -n {needed}`, or "
            f"use another backend such as 'direct'."
        )


def _open_files(level: LevelSpec) -> int:
    """Return how many files an array keeps open: its metadata or lock, and each incomplete shard."""
    shards = level.shards or level.chunks
    if math.prod(shards[:-2]) == 1:
        return 1
    growing = level.growing if level.growing is not None else 0
    counts = (math.ceil(n / s) for n, s in zip(level.shape, shards, strict=True))
    return 1 + math.prod(count for axis, count in enumerate(counts) if axis != growing)
