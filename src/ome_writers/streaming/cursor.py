"""The acquisition cursor: the next address in acquisition order, and the addresses of frames appended with `index`."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import EndOfAcquisitionError
from ome_writers.routing import Address, Observer, Plan

_BATCH_FRAMES = 65_536  # frames whose indices are in memory at the same time
_ADVICE = (
    "Check your AcquisitionSettings.dimensions. If you need to write an unbounded number of frames, "
    "set the count of your first dimension to None."
)


class Cursor:
    """Counts the frames of one acquisition.

    Each method changes its counters in a single statement, so that KeyboardInterrupt cannot leave them inconsistent.
    """

    def __init__(self, plan: Plan, observe: Observer | None = None) -> None:
        self.accepted = 0  # number of accepted frames
        self.replaced = 0  # number of accepted frames that replaced an earlier one
        # number of frames of the acquisition order that `append` or `skip` have passed
        self.offset = 0
        # True from before the engine receives a frame until the counters include it. If it is True when the next frame
        # arrives, an exception has ended the call; see `FrameWriter.recover`.
        self.pending = False
        # addresses of the frames that were appended with an explicit index
        self.explicit: set[Address] = set()
        self.skipped: list[range] = []  # ranges of offsets without frames
        # whether the acquisition order may reach addresses that have a frame
        self.revisits = plan.router.revisits
        self._router = plan.router
        self._total = plan.frames
        # receives the addresses in batches, before `next_address` reaches them
        self._observe = observe
        self._addresses = plan.router.iter_addresses(0, observe)
        # address of the frame at `offset`; None at the end of the acquisition
        self.next_address = next(self._addresses, None)
        self._last_partial: tuple[frozenset[tuple[str, int]], int] | None = None
        self.visited: set[Address] = set()  # addresses filled in order; only if the order revisits
        self.kept: frozenset[Address] = frozenset()  # filled by an earlier stream: passed over
        self._in_order = 0  # what `frames_in_order` returned last
        self._popped = (0, 0)  # offset, and number of skipped ranges, at the last `pop_runs`
        self._new_explicit: list[Sequence[int]] = []  # acquisition indices since then

    def require_next(self) -> Address:
        """Return `next_address`; raise EndOfAcquisitionError at the end."""
        if self.next_address is None:
            raise EndOfAcquisitionError(
                f"Cannot append frame: would exceed total of {self._total} frames. {_ADVICE}"
            )
        return self.next_address

    def advance(self) -> int:
        """Count a frame at `next_address`; return its offset."""
        replaced = self.replaced
        if self.revisits and self.next_address is not None:
            replaced += self.next_has_frame()
            if self._router.revisits:
                self.visited.add(self.next_address)
        offset, accepted, following = self.offset, self.accepted + 1, next(self._addresses, None)
        after = offset + 1
        while following in self.kept:
            after, following = after + 1, next(self._addresses, None)
        state = (after, following, accepted, replaced, False)
        self.offset, self.next_address, self.accepted, self.replaced, self.pending = state
        return offset

    def reset_iterator(self) -> None:
        """Restore `next_address` from `offset` after an exception, which may have exhausted the iterator."""
        self._addresses = self._router.iter_addresses(self.offset, self._observe)
        following = next(self._addresses, None)
        while following in self.kept:
            self.offset, following = self.offset + 1, next(self._addresses, None)
        self.next_address = following

    def skip(self, frames: int) -> None:
        """Advance by `frames` without counting frames."""
        if not isinstance(frames, Integral):
            raise TypeError(f"frames must be a whole number, got {frames!r}")
        if frames <= 0:
            raise ValueError(f"frames must be positive, got {frames}")
        offset = self._offset_after(frames)
        if self._total is not None and offset > self._total:
            raise EndOfAcquisitionError(
                f"Cannot skip frames: would exceed total of {self._total} frames "
                f"(tried to skip {frames}). {_ADVICE}"
            )
        addresses = self._router.iter_addresses(offset, self._observe)
        following = next(addresses, None)
        while following in self.kept:
            offset, following = offset + 1, next(addresses, None)
        self.skipped.append(range(self.offset, offset))
        self.offset, self._addresses, self.next_address = offset, addresses, following

    def _offset_after(self, frames: int) -> int:
        if not self.kept:
            return self.offset + frames
        following = enumerate(self._router.iter_addresses(self.offset), self.offset + 1)
        ends = [end for end, _ in islice((f for f in following if f[1] not in self.kept), frames)]
        return ends[-1] if len(ends) == frames else self.offset + sys.maxsize

    def complete_index(self, index: Mapping[str, int]) -> dict[str, int]:
        """Return the full acquisition index for a partial one; omitted axes advance while `index` is repeated."""
        return self._router.complete_index(index, self._repeats(index))

    def count_explicit(
        self, index: Mapping[str, int], acquired: Sequence[int], address: Address
    ) -> None:
        """Count a frame that was appended with `index`, the storage index of the acquisition index `acquired`."""
        partial = (frozenset(index.items()), self._repeats(index) + 1)
        accepted, replaced = self.accepted + 1, self.replaced + self.has_frame(acquired)
        self.revisits = True  # the acquisition order will reach this address, too
        self.explicit.add(address)
        self._new_explicit.append(acquired)
        state = (partial, accepted, replaced, False)
        self._last_partial, self.accepted, self.replaced, self.pending = state

    def next_has_frame(self) -> bool:
        return self.next_address in self.visited or self.next_address in self.explicit

    def has_frame(self, index: Sequence[int]) -> bool:
        """Return whether there is a frame at an acquisition index."""
        if self.explicit or self.visited:
            address = self._router.address_of(index)
            if address in self.explicit or address in self.visited:
                return True
        if not self.offset or self._router.revisits:
            return False
        number = self._router.frame_number(index)
        if number is None or number >= self.offset:
            return False
        before = bisect_right(self.skipped, number, key=lambda gap: gap.start)
        return before == 0 or number not in self.skipped[before - 1]

    @property
    def stored(self) -> int:
        """Number of addresses that have a frame."""
        return self.accepted - self.replaced

    def runs(self) -> Iterator[tuple[range, range]]:
        """Iterate over runs of offsets that `append` has passed, each with the skipped offsets after it."""
        begin = 0
        for gap in (*self.skipped, range(self.offset, self.offset)):
            yield range(begin, gap.start), gap
            begin = gap.stop

    def pop_runs(self) -> list[tuple[int, int]]:
        """Return the frames since the last call as runs: first number (see `Router.strides`) and length."""
        (start, gaps), explicit = self._popped, self._new_explicit
        self._popped, self._new_explicit = (self.offset, len(self.skipped)), []
        runs = []
        for gap in (*self.skipped[gaps:], range(self.offset, self.offset)):
            if self._router.schedule is None:
                runs.append((start, gap.start - start))
            else:
                offsets = np.arange(start, gap.start, dtype=np.int64)
                runs += runs_of(self._router.acquired(offsets) @ self._router.strides)
            start = gap.stop
        if explicit:
            runs += runs_of(np.array(explicit, np.int64) @ self._router.strides)
        return [run for run in runs if run[1]]

    def continue_repeats(self, earlier: Cursor) -> None:
        """Count the frames with a repeated partial index on from those of an earlier cursor."""
        self._last_partial = earlier._last_partial

    def frames_in_order(self) -> int:
        """Return the number of frames in acquisition order before the first that is missing; skipped ones count.

        0 if the acquisition order revisits addresses, whose frames may be replaced.
        """
        if self._router.revisits:
            return 0
        self._in_order = max(self._in_order, self.offset)
        for address in self._router.iter_addresses(self._in_order) if self.explicit else ():
            if address not in self.explicit:
                break
            self._in_order += 1
        return self._in_order

    @property
    def complete(self) -> bool:
        """Whether every frame of the acquisition was appended or skipped; looks up every remaining address."""
        if self._total is None:
            return True
        remaining = self._router.iter_addresses(self.offset)
        return all(a in self.explicit or a in self.visited for a in remaining)

    def missing_planes(self, shapes: Sequence[tuple[int, ...]]) -> dict[int, NDArray[np.bool_]]:
        """Return image number to a mask of the planes without a frame; complete images are omitted.

        `shapes` are the shapes of the arrays, with y and x.
        """
        skipped = sum(map(len, self.skipped))
        planes = sum(math.prod(shape[:-2]) for shape in shapes)
        if not (self.explicit or self.revisits) and planes == self.offset - skipped:
            return {}
        missing = [np.ones(shape[:-2], bool) for shape in shapes]
        for run, _ in self.runs():
            for start in run[::_BATCH_FRAMES]:
                stop = min(start + _BATCH_FRAMES, run.stop)
                images, indices = self._router.address_arrays(start, stop)
                for number in np.unique(images).tolist():
                    missing[number][tuple(indices[images == number].T)] = False
        for number, index in self.explicit:
            missing[number][index] = False
        return {number: mask for number, mask in enumerate(missing) if mask.any()}

    def _repeats(self, index: Mapping[str, int]) -> int:
        """Return how many of the latest frames were appended with this same partial index."""
        if self._last_partial is not None and self._last_partial[0] == frozenset(index.items()):
            return self._last_partial[1]
        return 0


def runs_of(numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the first number and the length of each run of consecutive numbers."""
    starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(numbers))
    return [*zip(numbers[starts].tolist(), lengths.tolist(), strict=True)]
