"""Time and z plans of useq as numbers: count, step and values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import useq

from ome_writers import UnsupportedError

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class AxisPlan:
    """The planned values of one axis."""

    count: int | None  # number of values, None for an unbounded plan
    step: float | None  # distance between neighbours (positive), None if it is unknown or varies
    # seconds from the start, or micrometers, in the order of the index; shape (count,), empty if unbounded
    values: npt.NDArray[np.float64]
    is_relative: bool = True  # whether z values are offsets from the position's z


def parse_time_plan(plan: object) -> AxisPlan:
    """Parse a time plan.

    A phase with a duration and an interval of zero ("as fast as possible") is unbounded.

    Raises UnsupportedError if useq itself cannot iterate the plan (a duration with a single loop).
    """
    phases = plan.phases if isinstance(plan, useq.MultiPhaseTimePlan) else [plan]
    if any(isinstance(p, useq.TIntervalDuration) and not p.interval for p in phases):
        return AxisPlan(None, None, np.empty(0))
    loops_and_intervals: list[tuple[int, int]] = []  # intervals in microseconds
    for phase in phases:
        if not isinstance(
            phase, useq.TIntervalLoops | useq.TDurationLoops | useq.TIntervalDuration
        ):
            # A third-party plan: only its iteration is defined.
            return _time_plan(np.asarray(list(plan), dtype=np.float64))  # type: ignore[call-overload]  # unknown type
        if isinstance(phase, useq.TDurationLoops) and phase.loops == 1:
            raise UnsupportedError(
                f"time_plan: useq cannot iterate a single loop in {phase.duration}. Give it an interval instead, "
                "TIntervalLoops(interval=..., loops=1)."
            )
        loops_and_intervals.append((max(phase.loops, 0), phase.interval // _MICROSECOND))
    # Integer microseconds, like timedelta, so that long runs do not accumulate rounding errors.
    if not isinstance(plan, useq.MultiPhaseTimePlan):
        loops, interval = loops_and_intervals[0]
        step = interval / 1e6 if interval > 0 else None
        return _time_plan(np.arange(loops, dtype=np.int64) * interval / 1e6, step)
    # The first time point of each later phase coincides with the last one of the previous phase.
    pieces = [np.zeros(1, dtype=np.int64)]
    for loops, interval in loops_and_intervals:
        pieces.append(pieces[-1][-1:] + np.arange(1, loops, dtype=np.int64) * interval)
        if loops < 2:
            pieces.pop()
    return _time_plan(np.concatenate(pieces) / 1e6)


def parse_z_plan(plan: object) -> AxisPlan:
    """Parse a z plan; the values are offsets or stage positions in the order of acquisition."""
    values = np.asarray(list(plan), dtype=np.float64)  # type: ignore[call-overload]  # unknown type
    step = abs(float(getattr(plan, "step", 0.0)))
    relative = bool(getattr(plan, "is_relative", True))
    return AxisPlan(len(values), step if step > 0 else _uniform_step(values), values, relative)


def shared_plan(plans: Iterable[AxisPlan], extent: int) -> AxisPlan:
    """Reduce the plans of several positions to what they share.

    Plans that differ only in length: the longest one. Plans with the same step and direction: the step. Otherwise
    only the extent.
    """
    longest, *others = sorted(plans, key=lambda plan: -len(plan.values))
    if all(np.allclose(p.values, longest.values[: len(p.values)], atol=1e-9) for p in others):
        return AxisPlan(extent, longest.step, longest.values[:extent], longest.is_relative)
    same_step = all(
        p.step == longest.step and _is_ascending(p) == _is_ascending(longest) for p in others
    )
    return AxisPlan(extent, longest.step if same_step else None, np.empty(0))


def _is_ascending(plan: AxisPlan) -> bool:
    return len(plan.values) < 2 or bool(plan.values[1] > plan.values[0])


def _time_plan(values: npt.NDArray[np.float64], step: float | None = None) -> AxisPlan:
    return AxisPlan(len(values), _uniform_step(values) if step is None else step, values)


def _uniform_step(values: npt.NDArray[np.float64]) -> float | None:
    steps = np.diff(values)
    if not steps.size or not np.allclose(steps, steps[0], rtol=1e-9, atol=1e-9):
        return None
    return abs(float(steps[0])) or None
