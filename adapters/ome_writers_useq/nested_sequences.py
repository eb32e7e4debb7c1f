"""A sequence read once: its axes, their plans, and the sequences that its positions carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers import UnsupportedError
from ome_writers_useq.grid_points import grid_points
from ome_writers_useq.planned_values import Planned, planned_depths, planned_times

if TYPE_CHECKING:
    import useq
    from useq._position import PositionBase

__all__ = ["Level", "Reading", "read"]


@dataclass(frozen=True, eq=False)
class Level:
    """One sequence without its positions' own sequences.

    Attributes
    ----------
    order
        The axes that it iterates, outermost first, of ``"tpgcz"``.
    sizes
        Number of items on each axis of `order`. An endless time axis counts one cycle: the
        smallest number of time points after which the skipping of channels repeats.
    times, depths
        The plans of ``t`` and ``z``, None where there is none (or it is not iterated).
    points
        The points of the grid, in the order of ``g``.
    channels
        The channels, in the order of ``c``.
    middle
        The z index of the plane that a channel without a stack is acquired on.
    """

    order: str
    sizes: dict[str, int]
    times: Planned | None
    depths: Planned | None
    points: tuple[PositionBase, ...]
    channels: tuple[useq.Channel, ...]
    middle: int | None

    @property
    def is_endless(self) -> bool:
        """Whether the time axis has no end."""
        return self.times is not None and self.times.count is None


@dataclass(frozen=True, eq=False)
class Reading:
    """A sequence and all that its positions carry.

    Attributes
    ----------
    sequence
        What was read.
    top
        The level of the sequence itself.
    positions
        The stage positions in the order of ``p``; empty where ``p`` is not iterated.
    own
        For each position, the level of the sequence that it carries and that is iterated in
        place of one event of the top level, else None.
    """

    sequence: useq.MDASequence
    top: Level
    positions: tuple[PositionBase, ...]
    own: tuple[Level | None, ...]

    def points_of(self, p: int) -> tuple[PositionBase, ...]:
        """Return the grid points that the event index ``g`` counts at position `p`."""
        own = self.own[p] if self.own else None
        return own.points if own is not None and own.points else self.top.points

    def channels_of(self, p: int) -> tuple[useq.Channel, ...]:
        """Return the channels that the event index ``c`` counts at position `p`."""
        own = self.own[p] if self.own else None
        return own.channels if own is not None and own.channels else self.top.channels


def read(seq: useq.MDASequence) -> Reading:
    """Read a sequence without iterating its events (and without changing it).

    Raises
    ------
    UnsupportedError
        If a time plan has no end where it needs one, or useq itself could not iterate it.
    """
    has_positions = "p" in seq.axis_order and bool(seq.stage_positions)
    # Of a well plate plan, these are the very objects that the events are made from.
    positions: tuple[PositionBase, ...] = tuple(seq.stage_positions) if has_positions else ()
    top = _level(seq, None, len(positions))
    own: list[Level | None] = []
    for number, position in enumerate(positions):
        carried = position.sequence
        if carried is None or not _has_axes(carried):
            own.append(None)
            continue
        level = _level(carried, seq, 0)
        if level.is_endless:
            raise UnsupportedError(
                f"The sequence of position {number} ({position.name or 'unnamed'}) has a time "
                "plan without an end: the positions after it would never be reached. Give it a "
                "number of loops."
            )
        if level.times is not None and top.is_endless:
            raise UnsupportedError(
                f"The time plan has no end, and position {number} ({position.name or 'unnamed'}) "
                "has a time plan of its own, which would begin again at each time point. Give "
                "the sequence's time plan an end, or drop the position's."
            )
        own.append(level)
    return Reading(seq, top, positions, tuple(own))


def _has_axes(seq: useq.MDASequence) -> bool:
    """Whether useq iterates this sequence where a position carries it."""
    return bool(
        seq.time_plan is not None
        or seq.stage_positions
        or seq.z_plan is not None
        or seq.channels
        or seq.grid_plan is not None
    )


def _level(seq: useq.MDASequence, parent: useq.MDASequence | None, positions: int) -> Level:
    if parent is not None and seq.stage_positions:
        raise UnsupportedError(
            "A position's sequence has stage positions itself: useq gives both the index 'p'."
        )
    wanted = set(seq.axis_order)
    times = planned_times(seq.time_plan) if seq.time_plan and "t" in wanted else None
    depths = planned_depths(seq.z_plan) if seq.z_plan and "z" in wanted else None
    points = grid_points(seq, parent) if "g" in wanted else ()
    channels = seq.channels if "c" in wanted else ()
    middle = seq.z_plan.num_positions() // 2 if seq.z_plan else None
    loops = 0
    if times is not None:
        cycle = math.lcm(*(channel.acquire_every for channel in channels))
        loops = cycle if times.count is None else times.count
    counts = {
        "t": loops,
        "p": positions,
        "g": len(points),
        "c": len(channels),
        "z": len(depths.values) if depths else 0,
    }
    order = "".join(axis for axis in seq.axis_order if counts[axis])
    return Level(
        order, {a: counts[a] for a in order}, times, depths, points, tuple(channels), middle
    )
