"""What useq's time and z plans say, as numbers: how many, how far apart, where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import useq

from ome_writers import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

__all__ = ["Planned", "agree", "planned_depths", "planned_times"]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class Planned:
    """The planned values of one axis.

    Attributes
    ----------
    count
        Number of values, None for a plan without an end.
    step
        Distance between neighbours (positive), None where it is not one number or not known.
    values
        Planned values in the order of the index, shape (count,): seconds from the start, or
        micrometers. Empty for a plan without an end.
    is_relative
        Whether the values count from where the position is.
    """

    count: int | None
    step: float | None
    values: npt.NDArray[np.float64]
    is_relative: bool = True


def planned_times(plan: object) -> Planned:
    """Read a time plan.

    A phase given by a duration and an interval of zero ("as fast as possible") has no end.

    Raises
    ------
    UnsupportedError
        If useq itself cannot say when the time points are (a duration with a single loop).
    """
    phases = plan.phases if isinstance(plan, useq.MultiPhaseTimePlan) else [plan]
    if any(isinstance(p, useq.TIntervalDuration) and not p.interval for p in phases):
        return Planned(None, None, np.empty(0))
    spans: list[tuple[int, int]] = []  # (loops, interval in microseconds)
    for phase in phases:
        if not isinstance(
            phase, useq.TIntervalLoops | useq.TDurationLoops | useq.TIntervalDuration
        ):
            # A plan of somebody else's: its values are all it promises.
            return _seconds(np.asarray(list(plan), dtype=np.float64))  # type: ignore[call-overload]  # unknown type
        if isinstance(phase, useq.TDurationLoops) and phase.loops == 1:
            raise UnsupportedError(
                f"useq cannot iterate a time plan of a single loop in {phase.duration}: "
                "give it an interval instead, TIntervalLoops(interval=..., loops=1)."
            )
        spans.append((max(phase.loops, 0), phase.interval // _MICROSECOND))
    # Whole microseconds, like timedelta, so that a long run does not drift.
    if not isinstance(plan, useq.MultiPhaseTimePlan):
        loops, interval = spans[0]
        single = interval / 1e6 if interval > 0 else None
        return _seconds(np.arange(loops, dtype=np.int64) * interval / 1e6, single)
    # The first time point of each later phase is the last one of the phase before.
    pieces = [np.zeros(1, dtype=np.int64)]
    for loops, interval in spans:
        pieces.append(pieces[-1][-1:] + np.arange(1, loops, dtype=np.int64) * interval)
        if loops < 2:
            pieces.pop()
    return _seconds(np.concatenate(pieces) / 1e6)


def planned_depths(plan: object) -> Planned:
    """Read a z plan: offsets or stage positions, in the order in which they are visited."""
    values = np.asarray(list(plan), dtype=np.float64)  # type: ignore[call-overload]  # unknown type
    step = abs(float(getattr(plan, "step", 0.0)))
    relative = bool(getattr(plan, "is_relative", True))
    return Planned(len(values), step if step > 0 else _step(values), values, relative)


def agree(plans: Iterable[Planned], extent: int) -> Planned:
    """Reduce the plans of several positions to what is true for all of them.

    Plans that begin alike differ in length only: the longest speaks for all. Plans that share
    the step keep the step. Of anything else, only the extent is left.
    """
    longest, *others = sorted(plans, key=lambda plan: -len(plan.values))
    if all(np.allclose(p.values, longest.values[: len(p.values)], atol=1e-9) for p in others):
        return Planned(extent, longest.step, longest.values[:extent], longest.is_relative)
    same = all(p.step == longest.step and _rises(p) == _rises(longest) for p in others)
    return Planned(extent, longest.step if same else None, np.empty(0))


def _rises(plan: Planned) -> bool:
    return len(plan.values) < 2 or bool(plan.values[1] > plan.values[0])


def _seconds(values: npt.NDArray[np.float64], step: float | None = None) -> Planned:
    return Planned(len(values), _step(values) if step is None else step, values)


def _step(values: npt.NDArray[np.float64]) -> float | None:
    steps = np.diff(values)
    if not steps.size or not np.allclose(steps, steps[0], rtol=1e-9, atol=1e-9):
        return None
    return abs(float(steps[0])) or None
