"""A parsed sequence: axes and plans of the sequence itself and of its positions' sub-sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers import UnsupportedError
from ome_writers_useq.axis_plans import AxisPlan, parse_time_plan, parse_z_plan
from ome_writers_useq.grid_points import grid_points

if TYPE_CHECKING:
    import useq

    from ome_writers_useq.grid_points import Point


@dataclass(frozen=True, eq=False)
class SequenceLoops:
    """The nested loops of one sequence, without the sub-sequences of its positions."""

    order: str  # the iterated axes of `"tpgcz"`, outermost first
    # Number of items on each axis of `order`. An unbounded time axis counts one cycle: the smallest number of time
    # points after which the pattern of skipped channels repeats.
    sizes: dict[str, int]
    # the plans of `t` and `z`; None if the axis is not iterated
    time_plan: AxisPlan | None
    z_plan: AxisPlan | None
    points: tuple[Point, ...]  # grid points, in the order of `g`
    channels: tuple[useq.Channel, ...]  # channels, in the order of `c`
    middle: int | None  # the z index at which a channel with `do_stack=False` is acquired

    @property
    def is_unbounded(self) -> bool:
        return self.time_plan is not None and self.time_plan.count is None


@dataclass(frozen=True, eq=False)
class ParsedSequence:
    """A sequence with the sub-sequences of its positions."""

    sequence: useq.MDASequence
    top: SequenceLoops
    # stage positions in the order of `p`; empty if `p` is not iterated
    positions: tuple[Point, ...]
    # loops of each position's sub-sequence, which useq iterates instead of one event of the top level; None if the
    # position does not have one
    subsequences: tuple[SequenceLoops | None, ...]

    def points_of(self, p: int) -> tuple[Point, ...]:
        """Return the grid points that the event index ``g`` counts at position `p`."""
        sub = self.subsequences[p] if self.subsequences else None
        return sub.points if sub is not None and sub.points else self.top.points

    def channels_of(self, p: int) -> tuple[useq.Channel, ...]:
        """Return the channels that the event index ``c`` counts at position `p`."""
        sub = self.subsequences[p] if self.subsequences else None
        return sub.channels if sub is not None and sub.channels else self.top.channels


def parse_sequence(seq: useq.MDASequence) -> ParsedSequence:
    """Parse a sequence without iterating its events and without changing it.

    Raises UnsupportedError if a sub-sequence is unbounded, or useq itself cannot iterate the sequence.
    """
    has_positions = "p" in seq.axis_order and bool(seq.stage_positions)
    # Iterating a WellPlatePlan returns the same objects that the events are made from.
    positions: tuple[Point, ...] = tuple(seq.stage_positions) if has_positions else ()
    top = _loops(seq, None, len(positions))
    subsequences: list[SequenceLoops | None] = []
    for number, position in enumerate(positions):
        sub = position.sequence
        if sub is None or not _is_iterated(sub):
            subsequences.append(None)
            continue
        loops = _loops(sub, seq, 0)
        label = f"Position {number} ({position.name or 'unnamed'})"
        if loops.is_unbounded:
            raise UnsupportedError(
                f"{label}: the time plan of its sequence is unbounded, so that later positions are never reached. "
                "Give it a number of loops."
            )
        if loops.time_plan is not None and top.is_unbounded:
            raise UnsupportedError(
                f"{label}: its own time plan would restart at each time point of the unbounded time plan of the "
                "whole sequence. Bound the sequence's time plan, or drop the position's."
            )
        subsequences.append(loops)
    return ParsedSequence(seq, top, positions, tuple(subsequences))


def _is_iterated(sub: useq.MDASequence) -> bool:
    """Whether useq iterates this sub-sequence of a position."""
    return bool(
        sub.time_plan is not None
        or sub.stage_positions
        or sub.z_plan is not None
        or sub.channels
        or sub.grid_plan is not None
    )


def _loops(
    seq: useq.MDASequence, parent: useq.MDASequence | None, n_positions: int
) -> SequenceLoops:
    if parent is not None and seq.stage_positions:
        raise UnsupportedError(
            "A position's sequence has stage positions itself: useq uses the index 'p' for both. List all positions "
            "in one sequence."
        )
    iterated = set(seq.axis_order)
    time_plan = parse_time_plan(seq.time_plan) if seq.time_plan and "t" in iterated else None
    z_plan = parse_z_plan(seq.z_plan) if seq.z_plan and "z" in iterated else None
    points = grid_points(seq, parent) if "g" in iterated else ()
    channels = tuple(seq.channels) if "c" in iterated else ()
    middle = seq.z_plan.num_positions() // 2 if seq.z_plan else None
    n_times = 0
    if time_plan is not None:
        cycle = math.lcm(*(channel.acquire_every for channel in channels))
        n_times = cycle if time_plan.count is None else time_plan.count
    counts = {
        "t": n_times,
        "p": n_positions,
        "g": len(points),
        "c": len(channels),
        "z": len(z_plan.values) if z_plan else 0,
    }
    order = "".join(axis for axis in seq.axis_order if counts[axis])
    sizes = {axis: counts[axis] for axis in order}
    return SequenceLoops(order, sizes, time_plan, z_plan, points, channels, middle)
