"""The acquisition axes that a sequence defines, their extents, and the index of each frame on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ome_writers import UnsupportedError
from ome_writers_useq.axis_plans import AxisPlan, shared_plan
from ome_writers_useq.channels import channel_axis, channel_indices
from ome_writers_useq.frame_order import AXES, event_indices, is_nested_loops
from ome_writers_useq.parsed_sequence import parse_sequence
from ome_writers_useq.positions import nested_loop_pairs

if TYPE_CHECKING:
    import useq

    from ome_writers_useq.parsed_sequence import ParsedSequence, SequenceLoops


@dataclass(frozen=True, eq=False)
class AcquisitionAxes:
    """The axes of an acquisition."""

    parsed: ParsedSequence
    # the axes of `"tpcz"`, slowest first; `p` counts stage positions and grid points together
    names: tuple[str, ...]
    # extent of each axis over all positions; None for an unbounded time axis
    sizes: Mapping[str, int | None]
    # event indices (p, g) of each item of the position axis; -1 for an index that events do not have
    pairs: list[tuple[int, int]]
    channels: list[useq.Channel]  # items of the channel axis
    # index on the channel axis by (position, event index `c`), shape (n_positions or 1, n_channels); -1 for none
    channel_table: npt.NDArray[np.int32]
    # acquisition index of each frame, shape (n_frames, n_axes), one cycle if unbounded; None for nested loops over
    # `names`
    frame_indices: npt.NDArray[np.int32] | None = None
    # Where several frames have the same event index: by (position, event index `t`), the time point of each visit.
    visit_times: Mapping[tuple[int, int], Sequence[int]] = field(default_factory=dict)

    def time_plan(self) -> AxisPlan:
        """Return the planned times that all positions have in common."""
        if self.visit_times:
            return AxisPlan(self.sizes["t"], None, np.empty(0))
        return self._shared_plan("t", lambda loops: loops.time_plan)

    def z_plan(self) -> AxisPlan:
        """Return the planned z values that all positions have in common."""
        return self._shared_plan("z", lambda loops: loops.z_plan)

    def z_plan_of(self, position: int) -> AxisPlan | None:
        """Return the z plan of one item of the position axis; None if it has a single plane."""
        p, _ = self.pairs[position] if self.pairs else (-1, -1)
        sub = self.parsed.subsequences[p] if p >= 0 else None
        for loops in (sub, self.parsed.top):
            if loops is not None and "z" in loops.order:
                return loops.z_plan
        return None

    def _shared_plan(
        self, axis: str, plan_of: Callable[[SequenceLoops], AxisPlan | None]
    ) -> AxisPlan:
        extent = self.sizes[axis]
        subsequences = [
            sub if sub is not None and axis in sub.order else None
            for sub in self.parsed.subsequences
        ]
        used = [sub for sub in subsequences if sub is not None]
        # The plan of the whole sequence applies only to positions without a plan of their own.
        if axis in self.parsed.top.order and (None in subsequences or not subsequences):
            used.append(self.parsed.top)
        plans = [plan for loops in used if (plan := plan_of(loops)) is not None]
        if not plans:
            return AxisPlan(extent, None, np.empty(0))
        if extent is None:
            return plans[0] if len(plans) == 1 else AxisPlan(None, None, np.empty(0))
        return shared_plan(plans, extent)


def acquisition_axes(seq: useq.MDASequence) -> AcquisitionAxes:
    """Determine the axes of the acquisition that a sequence defines.

    Raises UnsupportedError if the sequence does not acquire an image, or an unbounded time axis is not outermost.
    """
    parsed = parse_sequence(seq)
    channels, table = channel_axis(parsed)
    if is_nested_loops(parsed):
        regular = _regular_axes(parsed, channels, table)
        if regular is not None:
            return regular
    indices = event_indices(parsed)
    if not len(indices):
        raise UnsupportedError(
            f"The sequence acquires no image: axis_order={''.join(seq.axis_order)!r}, sizes "
            f"{dict(parsed.top.sizes)}. Give it at least one time point, position, channel or plane."
        )
    return _axes_from_indices(parsed, indices, channels, table)


def _regular_axes(
    parsed: ParsedSequence, channels: list[useq.Channel], table: npt.NDArray[np.int32]
) -> AcquisitionAxes | None:
    """Return the axes of nested loops; None if p and g are not adjacent, so that their merged axis is not a loop."""
    top = parsed.top
    used = [axis for axis in top.order if axis not in "pg" or top.sizes[axis] > 1]
    adjacent = not {"p", "g"} <= set(used) or abs(used.index("p") - used.index("g")) == 1
    if not top.order or not adjacent:
        return None
    names = _merge_p_and_g(top.order, {axis for axis in used if axis in "pg"}, ())
    pairs = nested_loop_pairs(parsed)
    sizes: dict[str, int | None] = {axis: top.sizes.get(axis) for axis in names}
    if "p" in names:
        sizes["p"] = len(pairs)
    return _unbound_time(AcquisitionAxes(parsed, names, sizes, pairs, channels, table))


def _axes_from_indices(
    parsed: ParsedSequence,
    indices: npt.NDArray[np.int32],
    channels: list[useq.Channel],
    table: npt.NDArray[np.int32],
) -> AcquisitionAxes:
    """Return the axes that the event indices of the frames define."""
    present = {axis for axis, column in zip(AXES, indices.T, strict=True) if (column >= 0).any()}
    order = "".join(axis for axis in parsed.top.order if axis in present)
    sub_axes = "".join(sub.order for sub in parsed.subsequences if sub is not None) + AXES
    added = [axis for axis in dict.fromkeys(sub_axes) if axis not in order and axis in present]
    varying = {axis for axis in "pg" if np.ptp(indices[:, AXES.index(axis)])}
    names = _merge_p_and_g(order, varying, added)

    pairs, position = _number_pairs(indices)
    columns = {axis: np.maximum(indices[:, AXES.index(axis)], 0) for axis in "tz"}
    columns["p"] = position
    channel = channel_indices(indices, table)
    acquired = np.unique(channel[channel >= 0])  # drop channels without a frame
    compact = np.full(len(channels) + 1, -1, dtype=np.int32)
    compact[acquired] = np.arange(len(acquired), dtype=np.int32)
    columns["c"] = np.maximum(compact[channel], 0)
    columns["t"], visit_times = _separate_visits(columns)
    if visit_times and "t" not in names:
        names = ("t", *names)

    rows = np.stack([columns[axis] for axis in names], axis=1)
    extents = [int(n) for n in rows.max(axis=0) + 1]
    strides = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    linear = rows @ np.array(strides, dtype=np.int64)
    total = math.prod(extents)
    regular = len(linear) == total and bool((linear == np.arange(total)).all())
    axes = AcquisitionAxes(
        parsed,
        names,
        dict(zip(names, extents, strict=True)),
        pairs if "p" in names else [],
        [channels[number] for number in acquired],
        compact[table],
        frame_indices=None if regular else rows,
        visit_times=visit_times,
    )
    return _unbound_time(axes)


def _separate_visits(
    columns: Mapping[str, npt.NDArray[np.int32]],
) -> tuple[npt.NDArray[np.int32], dict[tuple[int, int], list[int]]]:
    """Return the time point of each frame, and those of each visit (see `AcquisitionAxes.visit_times`).

    A position that has its own time plan within that of the whole sequence is visited repeatedly with the same event
    indices. Its time points are numbered in the order of acquisition, so that each frame has an index of its own.
    """
    position, time = columns["p"], columns["t"]
    index = [columns[axis] for axis in "tpcz"]
    linear = np.ravel_multi_index(index, [int(column.max()) + 1 for column in index])
    _, inverse, counts = np.unique(linear, return_inverse=True, return_counts=True)
    if counts.max() == 1:
        return time, {}
    by_index = np.argsort(inverse, kind="stable")
    first_of_index = np.repeat(np.cumsum(counts) - counts, counts)
    visit = np.empty(len(linear), dtype=np.int64)
    visit[by_index] = np.arange(len(linear)) - first_of_index
    time = time.copy()
    visit_times: dict[tuple[int, int], list[int]] = {}
    for p in np.unique(position[visit > 0]).tolist():
        here = position == p
        numbers: dict[tuple[int, int], int] = {}  # time point by (event index `t`, visit)
        keys = zip(time[here].tolist(), visit[here].tolist(), strict=True)
        time[here] = [numbers.setdefault(key, len(numbers)) for key in keys]
        for (t, _), number in numbers.items():
            visit_times.setdefault((p, t), []).append(number)
    return time, visit_times


def _merge_p_and_g(order: str, varying: set[str], added: Sequence[str]) -> tuple[str, ...]:
    """Return the axis names with p and g merged: at the position of the outer one that varies."""
    stage_axes = [axis for axis in order if axis in "pg"]
    outer = [axis for axis in stage_axes if axis in varying] or stage_axes[:1]
    names = [
        "p" if axis in "pg" else axis for axis in order if axis not in "pg" or axis == outer[0]
    ]
    if "p" not in names and any(axis in added for axis in "pg"):
        names.append("p")
    return (*names, *(axis for axis in added if axis not in "pg"))


def _number_pairs(
    indices: npt.NDArray[np.int32],
) -> tuple[list[tuple[int, int]], npt.NDArray[np.int32]]:
    """Return the (p, g) pairs in the order of the first visit, and the number of each frame's pair."""
    p, g = indices[:, AXES.index("p")].astype(np.int64), indices[:, AXES.index("g")]
    n_g = int(g.max()) + 2  # including -1
    codes, first, number = np.unique(
        (p + 1) * n_g + (g + 1), return_index=True, return_inverse=True
    )
    visited = np.argsort(first)
    rank = np.empty(len(visited), dtype=np.int32)
    rank[visited] = np.arange(len(visited), dtype=np.int32)
    pairs = [(int(code) // n_g - 1, int(code) % n_g - 1) for code in codes[visited]]
    return pairs, rank[number.reshape(-1)]


def _unbound_time(axes: AcquisitionAxes) -> AcquisitionAxes:
    """Replace one cycle of an unbounded time plan by an unbounded time axis."""
    top = axes.parsed.top
    if not top.is_unbounded:
        return axes
    if axes.visit_times:
        raise UnsupportedError(
            "The time plan is unbounded, and a position has its own time plan or autofocus plan, so that it is visited "
            "repeatedly at the same index: the number of its time points is not known. Bound the time plan, or remove "
            "the plan of the position."
        )
    enclosing = [a for a in axes.names[: axes.names.index("t")] if axes.sizes[a] != 1]
    if enclosing:
        raise UnsupportedError(
            f"The time plan is unbounded, but the axis order {top.order!r} puts it inside {', '.join(enclosing)}: the "
            f"second item of {enclosing[0]!r} is never reached. Put 't' first in axis_order or bound the time plan."
        )
    if axes.sizes["t"] != top.sizes["t"]:
        raise UnsupportedError(
            "The time plan is unbounded, and every channel skips time points (acquire_every="
            f"{[c.acquire_every for c in top.channels]}): its cycle of {top.sizes['t']} time points ends without a "
            "frame. Acquire one channel at every time point."
        )
    names = ("t", *(axis for axis in axes.names if axis != "t"))
    rows = axes.frame_indices
    if rows is not None:
        rows = rows[:, [axes.names.index(axis) for axis in names]]
    return replace(axes, names=names, sizes={**axes.sizes, "t": None}, frame_indices=rows)
