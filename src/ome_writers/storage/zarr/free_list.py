"""Free list of a shard file: extents for partially filled chunks, reused after a grace period.

A reader reads the index first and the chunks later, on a busy machine much later. Therefore an extent that an index
has pointed to is neither overwritten nor truncated before the grace period is over.
"""

from __future__ import annotations

import math
import time

_GRACE_PERIOD_S = 2.0  # for a reader, from reading the index to having read the chunk


class FreeList:
    """The extents of one shard that are allocated apart from its other chunks.

    Each has `extent_bytes`, the maximum size of a stored chunk.
    """

    def __init__(self, extent_bytes: int) -> None:
        self._extent_bytes = extent_bytes
        self._free_at: dict[int, float] = {}  # by offset; infinite while an index points to it
        self._released: list[int] = []

    def __len__(self) -> int:
        return len(self._free_at)

    def allocate(self, min_offset: int, index: range) -> int:
        """Return the offset of a free extent that is not below `min_offset` and does not overlap `index`."""
        now = time.monotonic()
        free = (offset for offset, free_at in self._free_at.items() if free_at <= now)
        offset = next(free, None)
        if offset is None:
            offset = max([min_offset, *(used + self._extent_bytes for used in self._free_at)])
            if offset + self._extent_bytes > index.start:
                offset = max(offset, index.stop)
        self._free_at[offset] = math.inf
        return offset

    def release(self, offsets: set[int]) -> None:
        """Free extents that the next index does not point to; offsets of other chunks are ignored."""
        self._released += offsets & self._free_at.keys()

    def start_grace_period(self) -> None:
        """Start the grace period of released extents: a new index has been written."""
        free_at = time.monotonic() + _GRACE_PERIOD_S
        self._free_at.update(dict.fromkeys(self._released, free_at))
        self._released.clear()

    @property
    def end_in_use(self) -> int:
        """Offset after the last extent that is in use or in its grace period; 0 if there is none."""
        now = time.monotonic()
        in_use = (offset for offset, free_at in self._free_at.items() if free_at > now)
        return max((offset + self._extent_bytes for offset in in_use), default=0)
