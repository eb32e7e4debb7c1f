"""Which frames a sequence delivers, in which order: the rules of useq's iteration as arrays.

useq makes an event in some fifty microseconds, too slow for a question that is asked before the
first frame. The rules (as useq-schema 0.9.2 behaves) are few: nested loops over the axes in use;
a channel is left out on time points that its ``acquire_every`` does not divide, and off the
middle plane when it has ``do_stack=False``; a position that carries a sequence replaces one event
by the events of that sequence, whose index overrides; and so that it is not acquired again for
each item of an axis it overrides, only the first item counts. The tests compare this with the
real iteration.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import useq

from ome_writers import UnsupportedError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ome_writers_useq.nested_sequences import Level, Reading

    Rows = npt.NDArray[np.int32]

__all__ = ["AXES", "frame_indices", "is_plain"]

AXES = "tpgcz"
"""The axes of useq, which are the columns of the arrays here."""

_T, _P, _G, _C, _Z = range(5)
_MOST_EVENTS = 1_000_000  # of a foreign iteration, about a minute


def is_plain(reading: Reading) -> bool:
    """Whether the frames are nested loops over the top level, with nothing left out."""
    top = reading.top
    return (
        not _iterates_by_itself(reading.sequence)
        and not any(position.sequence is not None for position in reading.positions)
        and ("t" not in top.order or all(c.acquire_every == 1 for c in top.channels))
        and (top.middle is None or all(c.do_stack for c in top.channels))
    )


def frame_indices(reading: Reading) -> Rows:
    """Return the event index of each frame, in the order of delivery.

    Returns
    -------
    array of shape (n_frames, 5)
        Columns as `AXES`; -1 where the event's index does not name the axis. Of an endless
        time plan, one cycle. Autofocus and custom events deliver no frame and have no row.
    """
    if _iterates_by_itself(reading.sequence):
        return _iterated(reading)
    rows = _level_rows(reading.top)
    if not any(position.sequence is not None for position in reading.positions):
        return rows
    return _expanded(_without_repeats(rows, reading), reading)


def _level_rows(level: Level) -> Rows:
    """Return the rows of one level: its nested loops less what its channels leave out.

    Raises
    ------
    UnsupportedError
        If useq itself could not iterate it.
    """
    if not level.order:
        return np.empty((0, len(AXES)), dtype=np.int32)
    total = math.prod(level.sizes.values())
    rows = np.full((total, len(AXES)), -1, dtype=np.int32)
    outer, inner = 1, total
    for axis in level.order:
        size = level.sizes[axis]
        inner //= size
        column = np.repeat(np.arange(size, dtype=np.int32), inner)
        rows[:, AXES.index(axis)] = np.tile(column, outer)
        outer *= size
    if "c" not in level.order:
        return rows
    keep = np.ones(total, dtype=bool)
    channel = rows[:, _C]
    if "t" in level.order:
        every = np.array([c.acquire_every for c in level.channels], dtype=np.int64)
        keep &= rows[:, _T] % every[channel] == 0
    if level.middle is not None:
        stacks = np.array([c.do_stack for c in level.channels], dtype=bool)
        if "z" not in level.order and not stacks.all():
            raise UnsupportedError(
                f"Channel {level.channels[int(stacks.argmin())].config!r} has do_stack=False, and "
                "there is a z plan, but no z axis that is iterated: useq cannot say which plane "
                "the channel is acquired on. Add 'z' to axis_order or drop the z plan."
            )
        keep &= stacks[channel] | (rows[:, _Z] == level.middle)
    return rows[keep]


def _without_repeats(rows: Rows, reading: Reading) -> Rows:
    """Leave out the items of the top level that a position's own sequence takes over."""
    first_only = np.zeros((len(reading.positions), len(AXES)), dtype=bool)
    for number, position in enumerate(reading.positions):
        own = position.sequence
        # With an autofocus plan of its own, useq leaves nothing out.
        if own is None or own.autofocus_plan is not None:
            continue
        plans = bool(own.grid_plan or own.z_plan or own.time_plan)
        first_only[number, _C] = bool(own.channels) if plans else True
        first_only[number, _Z] = bool(own.z_plan)
        first_only[number, _G] = bool(own.grid_plan)
    repeats = (first_only[rows[:, _P]] & (rows > 0)).any(axis=1)
    return rows[~repeats]


def _expanded(rows: Rows, reading: Reading) -> Rows:
    """Put the frames of a position's own sequence in the place of its event."""
    itself = np.full((1, len(AXES)), -1, dtype=np.int32)
    reached = set(np.unique(rows[:, _P]).tolist())
    tables: list[Rows] = []
    starts = np.zeros(len(reading.positions), dtype=np.int64)
    counts = np.ones(len(reading.positions), dtype=np.int64)
    filled = 0
    for number, own in enumerate(reading.own):
        table = itself if own is None or number not in reached else _level_rows(own)
        starts[number], counts[number] = filled, len(table)
        filled += len(table)
        tables.append(table)
    stacked = np.concatenate(tables)
    repeat = counts[rows[:, _P]]
    parents = np.repeat(rows, repeat, axis=0)
    begun = np.repeat(np.cumsum(repeat) - repeat, repeat)
    own_rows = stacked[starts[parents[:, _P]] + np.arange(len(parents)) - begun]
    return np.where(own_rows >= 0, own_rows, parents)


def _iterates_by_itself(seq: useq.MDASequence) -> bool:
    """Whether a subclass brings its own order of events."""
    return any(
        getattr(type(seq), name) is not getattr(useq.MDASequence, name)
        for name in ("__iter__", "iter_events", "iter_axis")
    )


def _iterated(reading: Reading) -> Rows:
    """Iterate a copy: an autofocus plan remembers its last event, and the run needs a new one."""
    seq = reading.sequence
    kind = type(seq).__name__
    rows: list[list[int]] = []
    for number, event in enumerate(islice(seq.model_copy(deep=True), _MOST_EVENTS + 1)):
        if number == _MOST_EVENTS:
            raise UnsupportedError(
                f"{kind} has more than {_MOST_EVENTS} events: too many to look at each of them."
            )
        if not isinstance(event.action, useq.AcquireImage | None):
            continue
        index = {str(axis): int(value) for axis, value in event.index.items()}
        row = [index.get(axis, -1) for axis in AXES]
        p = max(row[_P], 0)
        known = p < max(1, len(reading.positions)) and set(index) <= set(AXES)
        if not known or not (
            row[_P] < len(reading.positions)
            and row[_G] < len(reading.points_of(p))
            and row[_C] < len(reading.channels_of(p))
        ):
            raise UnsupportedError(
                f"Event {number} of {kind} has the index {index}, which its positions, grid and "
                "channels do not have: what it acquires cannot be known before it runs."
            )
        rows.append(row)
    return np.array(rows, dtype=np.int32).reshape(-1, len(AXES))
