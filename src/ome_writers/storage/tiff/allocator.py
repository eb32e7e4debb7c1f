"""The room of a file: what is given away behind the planes, and where the descriptions lie."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ome_writers.storage.tiff.ifd import aligned

__all__ = ["Allocator", "Extent"]

_READING = 1.0  # seconds; who has found a description has read it by then


@dataclass(eq=False)
class Extent:
    """Where a description lies, or can.

    Attributes
    ----------
    offset, capacity
        In bytes.
    left
        When it ceased to be the place of the description in force (`time.monotonic`); None if it never has.
    """

    offset: int
    capacity: int
    left: float | None = None


class Allocator:
    """Gives room away, each byte once; its caller sees to it that only one thread asks at a time.

    Attributes
    ----------
    end
        Where what was given away ends. A description may lie beyond.
    in_force
        The place of the description that the file leads to.
    """

    def __init__(self) -> None:
        self.end = 0
        self.in_force = Extent(0, 0)
        self._descriptions = [self.in_force]

    def begin(self, description: Extent, end: int) -> None:
        """Take note of the first description, and of where what is laid down with it ends."""
        self.in_force, self._descriptions, self.end = description, [description], end

    def allocate(self, nbytes: int) -> int:
        """Give away a place at the end, or behind descriptions beyond it."""
        offset = aligned(self.end)
        for there in sorted(self._descriptions, key=lambda place: place.offset):
            if there.offset < offset + nbytes and there.offset + there.capacity > offset:
                offset = aligned(there.offset + there.capacity)
        self.end = offset + nbytes
        return offset

    def for_description(self, nbytes: int, *, spare: int, within: bool) -> Extent:
        """Return a place for a description of `nbytes`, none that readers may be reading from.

        Parameters
        ----------
        spare
            Bytes that a new place has besides, for the descriptions to come.
        within
            Whether a place beyond `end` will not do.
        """
        now = time.monotonic()
        for place in self._descriptions:
            at_rest = place is not self.in_force and now - (place.left or now) > _READING
            if at_rest and place.capacity >= nbytes and (not within or place.offset < self.end):
                return place
        capacity = aligned(nbytes + spare)
        return self.add(self.allocate(capacity), capacity)

    def add(self, offset: int, capacity: int) -> Extent:
        """Return room that was given away, as a place of a description."""
        self._descriptions.append(Extent(offset, capacity))
        return self._descriptions[-1]

    def put_in_force(self, place: Extent) -> None:
        """Take note that the file leads to the description in `place`."""
        self.in_force.left = time.monotonic()
        self.in_force = place

    def was_left_behind(self, offset: int) -> bool:
        """Whether a place at `offset` or behind it had a description in force before the present one."""
        return any(
            place.offset >= offset
            for place in self._descriptions
            if place.left is not None and place is not self.in_force
        )

    def forget_all_but_one(self) -> None:
        """Take note that nobody reads an earlier description any more."""
        self.begin(Extent(self.in_force.offset, self.in_force.capacity), self.end)
