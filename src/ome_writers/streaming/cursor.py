"""Which place comes next, and which were filled by explicit addresses."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.errors import EndOfAcquisitionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ome_writers.routing import Address, Plan

__all__ = ["Cursor"]

_BATCH = 65_536  # places whose indices are in memory at once
_ADVICE = (
    "Check your AcquisitionSettings.dimensions. If you need to write an unbounded number of frames, "
    "set the count of your first dimension to None."
)


class Cursor:
    """The one counter of an acquisition's order.

    Each method changes its counters with one statement, so that KeyboardInterrupt cannot part them.

    Attributes
    ----------
    accepted
        How many frames were taken.
    unsettled
        Whether a frame is being taken: set before the engine gets it, reset with the counters. If it is set when the
        next frame comes, an exception has ended the call; see `Intake.recover`.
    position
        How many places of the acquisition order were passed, by `append` or `skip`.
    next
        The place of the next frame in order; None behind the last.
    explicit
        The places that were filled by explicit addresses.
    """

    def __init__(self, plan: Plan) -> None:
        self.accepted = 0
        self.unsettled = False
        self.position = 0
        self.explicit: set[Address] = set()
        self.skipped: list[range] = []  # positions in the acquisition order
        self._router = plan.router
        self._total = plan.frames
        self._walk = plan.router.iter_addresses()
        self.next = next(self._walk, None)
        self._partial: tuple[frozenset[tuple[str, int]], int] | None = None
        self.revisits = plan.router.revisits
        """Whether places come again by themselves, in order."""
        self._visited: set[Address] = set()  # then: those that were filled in order

    def upcoming(self) -> Address:
        """Return the place of the next frame in order, if there is one."""
        if self.next is None:
            raise EndOfAcquisitionError(
                f"Cannot append frame: would exceed total of {self._total} frames. {_ADVICE}"
            )
        return self.next

    def advance(self) -> int:
        """Count a frame at the upcoming place; return its number in order."""
        if self.revisits and self.next is not None:
            self._visited.add(self.next)
        number, accepted, following = self.position, self.accepted + 1, next(self._walk, None)
        self.position, self.next, self.accepted, self.unsettled = (
            number + 1,
            following,
            accepted,
            False,
        )
        return number

    def restart(self) -> None:
        """Find the upcoming place again after an exception, which may have ended the iteration."""
        self._walk = self._router.iter_addresses(self.position)
        self.next = next(self._walk, None)

    def skip(self, frames: int) -> None:
        """Pass `frames` places."""
        if not isinstance(frames, Integral):
            raise TypeError(f"frames must be a whole number, got {frames!r}")
        if frames <= 0:
            raise ValueError(f"frames must be positive, got {frames}")
        if self._total is not None and self.position + frames > self._total:
            raise EndOfAcquisitionError(
                f"Cannot skip frames: would exceed total of {self._total} frames "
                f"(tried to skip {frames}). {_ADVICE}"
            )
        position = self.position + frames
        walk = self._router.iter_addresses(position)
        following = next(walk, None)
        self.skipped.append(range(self.position, position))
        self.position, self._walk, self.next = position, walk, following

    def locate(self, index: Mapping[str, int]) -> dict[str, int]:
        """Return the whole index that `index` names; axes it leaves out count on while it stays the same."""
        return self._router.complete_index(index, self._repeats(index))

    def fill(self, index: Mapping[str, int], address: Address) -> None:
        """Count a frame at the place that `index` named."""
        partial = (frozenset(index.items()), self._repeats(index) + 1)
        self.explicit.add(address)
        self._partial, self.accepted, self.unsettled = partial, self.accepted + 1, False

    def comes_again(self) -> bool:
        """Whether a frame was put at the upcoming place before."""
        return self.next in self._visited or self.next in self.explicit

    def is_filled(self, acquired: Sequence[int]) -> bool:
        """Whether a frame may be at an acquisition index (of what was passed in order: that is taken for granted)."""
        if self.position:
            number = self._router.frame_number(acquired)
            if number is None or number < self.position:
                return True
        return bool(self.explicit) and self._router.address_of(acquired) in self.explicit

    @property
    def reached_end(self) -> bool:
        """Whether every place of the acquisition was passed or filled; looks at each place that was not passed."""
        if self._total is None:
            return True
        ahead = self._router.iter_addresses(self.position)
        return all(place in self.explicit or place in self._visited for place in ahead)

    def empty_planes(self, shapes: Sequence[tuple[int, ...]]) -> dict[int, NDArray[np.bool_]]:
        """Return by image number which planes of arrays of these shapes have no frame; images without any are left out.

        Looks at each place only where some are missing.
        """
        skipped = sum(map(len, self.skipped))
        planes = sum(math.prod(shape[:-2]) for shape in shapes)
        if not (self.explicit or self.revisits) and planes == self.position - skipped:
            return {}
        empty = [np.ones(shape[:-2], bool) for shape in shapes]
        begin = 0
        for gap in (*self.skipped, range(self.position, self.position)):
            for start in range(begin, gap.start, _BATCH):
                images, index = self._router.address_arrays(start, min(start + _BATCH, gap.start))
                for number in np.unique(images).tolist():
                    empty[number][tuple(index[images == number].T)] = False
            begin = gap.stop
        for number, at in self.explicit:
            empty[number][at] = False
        return {number: mask for number, mask in enumerate(empty) if mask.any()}

    def _repeats(self, index: Mapping[str, int]) -> int:
        if self._partial is not None and self._partial[0] == frozenset(index.items()):
            return self._partial[1]
        return 0
