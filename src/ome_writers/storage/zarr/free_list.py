"""Places in a shard's file for chunks that are not whole yet.

A reader looks up the index first and fetches the chunks a moment later, on a busy machine much later. So a place
that an index pointed to is not written again, and not cut off, before some time has passed.
"""

from __future__ import annotations

import math
import time

__all__ = ["FreeList"]

# seconds that a reader is given from looking up a chunk in the index to having read it
_FETCH = 2.0


class FreeList:
    """The spare places of one shard: taken, released, and after a time used again.

    Parameters
    ----------
    size
        Bytes of a place: the most that a stored chunk can take.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free_at: dict[int, float] = {}  # by offset; infinite as long as an index points there
        self._released: list[int] = []

    def take(self, beyond: int, index: range) -> int:
        """Return the offset of a place for a chunk, at or behind `beyond` bytes, that does not touch `index`."""
        now = time.monotonic()
        free = (offset for offset, free_at in self._free_at.items() if free_at <= now)
        offset = next(free, None)
        if offset is None:
            offset = max([beyond, *(taken + self._size for taken in self._free_at)])
            if offset + self._size > index.start:
                offset = max(offset, index.stop)
        self._free_at[offset] = math.inf
        return offset

    def __len__(self) -> int:
        return len(self._free_at)

    def release(self, offsets: set[int]) -> None:
        """Take note that the next index points no longer to these (offsets elsewhere are passed over)."""
        self._released += offsets & self._free_at.keys()

    def superseded(self) -> None:
        """Take note that an index was written just now."""
        free_at = time.monotonic() + _FETCH
        self._free_at.update(dict.fromkeys(self._released, free_at))
        self._released.clear()

    @property
    def end(self) -> int:
        """The offset behind the last place that somebody may be reading; 0 when there is none."""
        now = time.monotonic()
        return max(
            (o + self._size for o, free_at in self._free_at.items() if free_at > now), default=0
        )
