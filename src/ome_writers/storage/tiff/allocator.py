"""Allocation of file space after the planes: for ImageDescriptions, compressed strips, further IFDs and planes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ome_writers.storage.tiff.ifd import aligned

_REUSE_GRACE_S = 1.0  # within which a reader that has found a description has read it


@dataclass(eq=False)
class Extent:
    """File space reserved for an ImageDescription, or for IFDs, which are never retired."""

    offset: int
    capacity: int  # bytes
    retired_at: float | None = None  # `time.monotonic` when it stopped being the current one


class Allocator:
    """Allocates each byte of a file once; not thread-safe.

    `end` is the end of the allocated space, beyond which there may be extents; `description` is the extent of the
    current ImageDescription.
    """

    def __init__(self) -> None:
        self.reset(Extent(0, 0), 0)

    def reset(self, description: Extent, end: int) -> None:
        """Forget all description extents except `description`, and continue to allocate at `end`."""
        self.description, self._extents, self.end = description, [description], end

    def allocate(self, nbytes: int) -> int:
        """Return the offset of `nbytes` at or after `end`, clear of all extents."""
        offset = aligned(self.end)
        for extent in sorted(self._extents, key=lambda extent: extent.offset):
            if extent.offset < offset + nbytes and extent.offset + extent.capacity > offset:
                offset = aligned(extent.offset + extent.capacity)
        self.end = offset + nbytes
        return offset

    def allocate_description(self, nbytes: int, *, spare: int, below_end: bool) -> Extent:
        """Return an extent for a description of `nbytes` that no reader may still be reading from.

        A new extent has `spare` additional bytes. With `below_end`, extents beyond `end` are not reused.
        """
        for extent in self._extents:
            retired = time.monotonic() - (extent.retired_at or float("inf")) > _REUSE_GRACE_S
            fits = extent.capacity >= nbytes and (not below_end or extent.offset < self.end)
            if retired and fits and extent is not self.description:
                return extent
        capacity = aligned(nbytes + spare)
        return self.add_extent(self.allocate(capacity), capacity)

    def add_extent(self, offset: int, capacity: int) -> Extent:
        """Register allocated space that nothing else may use."""
        self._extents.append(Extent(offset, capacity))
        return self._extents[-1]

    def set_description(self, extent: Extent) -> None:
        """Make `extent`, which the file references now, current, and retire the one before."""
        self.description.retired_at = time.monotonic()
        self.description = extent

    def used_end(self) -> int:
        """Return the end of the last extent in use."""
        return max(extent.offset + extent.capacity for extent in self._used())

    def has_retired_extent(self, offset: int) -> bool:
        """Whether a retired extent is at `offset` or beyond it, where none is in use."""
        return any(extent.offset >= offset for extent in self._extents)

    def drop_retired(self) -> None:
        """Forget retired extents, which no reader uses any more."""
        self._extents = self._used()

    def _used(self) -> list[Extent]:
        return [e for e in self._extents if e is self.description or e.retired_at is None]
