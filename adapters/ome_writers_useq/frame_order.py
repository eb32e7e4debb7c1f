"""The event indices of all frames of a sequence, in the order of acquisition, as arrays.

useq needs about 50 us per event, which is too slow before the first frame of a long run. This module reproduces the
iteration of useq-schema 0.9.2: nested loops over the axes in use. A channel is skipped at time points that its
``acquire_every`` does not divide, and with ``do_stack=False`` off the middle plane. A position with a sub-sequence
replaces one event by the events of the sub-sequence, whose indices take precedence; it is acquired at the first item
only of each axis that it overrides. The tests compare the result with useq's own iteration.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import useq

from ome_writers import UnsupportedError

if TYPE_CHECKING:
    from ome_writers_useq.parsed_sequence import ParsedSequence, SequenceLoops

    Indices = npt.NDArray[np.int32]

AXES = "tpgcz"
"""The axes of useq: columns of the index arrays."""

_T, _P, _G, _C, _Z = range(5)
_MAX_ITERATED_EVENTS = 1_000_000  # about a minute


def is_nested_loops(parsed: ParsedSequence) -> bool:
    """Whether the frames are nested loops over the top level without skipped frames."""
    top = parsed.top
    return (
        not _overrides_iteration(parsed.sequence)
        and not any(position.sequence is not None for position in parsed.positions)
        and ("t" not in top.order or all(c.acquire_every == 1 for c in top.channels))
        and (top.middle is None or all(c.do_stack for c in top.channels))
    )


def event_indices(parsed: ParsedSequence) -> Indices:
    """Return the event index of each frame in the order of acquisition, shape (n_frames, 5) with columns as in `AXES`.

    -1 where the event index does not have the axis. One cycle of an unbounded time plan. Autofocus and custom events do
    not deliver a frame and have no row.
    """
    if _overrides_iteration(parsed.sequence):
        return _iterate(parsed)
    rows = _loop_indices(parsed.top)
    if not any(position.sequence is not None for position in parsed.positions):
        return rows
    return _expand_subsequences(_drop_repeats(rows, parsed), parsed)


def _loop_indices(loops: SequenceLoops) -> Indices:
    """Return the indices of nested loops without the frames that channels skip."""
    if not loops.order:
        return np.empty((0, len(AXES)), dtype=np.int32)
    total = math.prod(loops.sizes.values())
    rows = np.full((total, len(AXES)), -1, dtype=np.int32)
    outer, inner = 1, total
    for axis in loops.order:
        size = loops.sizes[axis]
        inner //= size
        column = np.repeat(np.arange(size, dtype=np.int32), inner)
        rows[:, AXES.index(axis)] = np.tile(column, outer)
        outer *= size
    if "c" not in loops.order:
        return rows
    keep = np.ones(total, dtype=bool)
    channel = rows[:, _C]
    if "t" in loops.order:
        every = np.array([c.acquire_every for c in loops.channels], dtype=np.int64)
        keep &= rows[:, _T] % every[channel] == 0
    if loops.middle is not None:
        stacks = np.array([c.do_stack for c in loops.channels], dtype=bool)
        if "z" not in loops.order and not stacks.all():
            raise UnsupportedError(
                f"Channel {loops.channels[int(stacks.argmin())].config!r} has do_stack=False and the sequence has a "
                "z plan, but 'z' is not in axis_order: useq cannot determine the plane of the channel. Add 'z' to "
                "axis_order or drop the z plan."
            )
        keep &= stacks[channel] | (rows[:, _Z] == loops.middle)
    return rows[keep]


def _drop_repeats(rows: Indices, parsed: ParsedSequence) -> Indices:
    """Drop all but the first item of top-level axes that a position's sub-sequence overrides."""
    first_only = np.zeros((len(parsed.positions), len(AXES)), dtype=bool)
    for number, position in enumerate(parsed.positions):
        sub = position.sequence
        # useq does not drop anything for a sub-sequence with an autofocus plan.
        if sub is None or sub.autofocus_plan is not None:
            continue
        has_plans = bool(sub.grid_plan or sub.z_plan or sub.time_plan)
        first_only[number, _C] = bool(sub.channels) if has_plans else True
        first_only[number, _Z] = bool(sub.z_plan)
        first_only[number, _G] = bool(sub.grid_plan)
    repeats = (first_only[rows[:, _P]] & (rows > 0)).any(axis=1)
    return rows[~repeats]


def _expand_subsequences(rows: Indices, parsed: ParsedSequence) -> Indices:
    """Replace each event at a position with a sub-sequence by the events of the sub-sequence."""
    unchanged = np.full((1, len(AXES)), -1, dtype=np.int32)
    reached = set(np.unique(rows[:, _P]).tolist())
    tables: list[Indices] = []
    starts = np.zeros(len(parsed.positions), dtype=np.int64)
    counts = np.ones(len(parsed.positions), dtype=np.int64)
    n_rows = 0
    for number, loops in enumerate(parsed.subsequences):
        table = unchanged if loops is None or number not in reached else _loop_indices(loops)
        starts[number], counts[number] = n_rows, len(table)
        n_rows += len(table)
        tables.append(table)
    stacked = np.concatenate(tables)
    repeat = counts[rows[:, _P]]
    parents = np.repeat(rows, repeat, axis=0)
    first_of_parent = np.repeat(np.cumsum(repeat) - repeat, repeat)
    offset = np.arange(len(parents)) - first_of_parent
    sub_rows = stacked[starts[parents[:, _P]] + offset]
    return np.where(sub_rows >= 0, sub_rows, parents)


def _overrides_iteration(seq: useq.MDASequence) -> bool:
    """Whether a subclass defines its own order of events."""
    return any(
        getattr(type(seq), name) is not getattr(useq.MDASequence, name)
        for name in ("__iter__", "iter_events", "iter_axis")
    )


def _iterate(parsed: ParsedSequence) -> Indices:
    # Iterate a copy: an autofocus plan remembers its last event, which would change the events of the run.
    seq = parsed.sequence.model_copy(deep=True)
    kind = type(seq).__name__
    rows: list[list[int]] = []
    for number, event in enumerate(islice(seq, _MAX_ITERATED_EVENTS + 1)):
        if number == _MAX_ITERATED_EVENTS:
            raise UnsupportedError(
                f"{kind}: more than {_MAX_ITERATED_EVENTS} events, the maximum for a class with its own iteration. "
                "Split the sequence, or use a plain useq.MDASequence."
            )
        if not isinstance(event.action, useq.AcquireImage | None):
            continue
        index = {str(axis): int(value) for axis, value in event.index.items()}
        row = [index.get(axis, -1) for axis in AXES]
        p = max(row[_P], 0)
        known = p < max(1, len(parsed.positions)) and set(index) <= set(AXES)
        if not known or not (
            row[_P] < len(parsed.positions)
            and row[_G] < len(parsed.points_of(p))
            and row[_C] < len(parsed.channels_of(p))
        ):
            raise UnsupportedError(
                f"Event {number} of {kind} has the index {index}, which is outside its positions, grid and channels. "
                "Add what it acquires to the plans of the sequence."
            )
        rows.append(row)
    return np.array(rows, dtype=np.int32).reshape(-1, len(AXES))
