"""The points of a grid plan, as the events of the same sequence will name them.

useq remembers the points of a sequence from its first iteration on. That matters twice: random
points without a seed are drawn once, and a grid keeps the points of the field of view that it
had at that moment. So a point is read from useq's memory where useq has one, and useq is made
to remember where the points would differ the next time. Nothing else of a sequence is stored
by reading it: iterating it here would fix its grid before the microscope has told its field of
view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import useq

if TYPE_CHECKING:
    from collections.abc import Callable

    from useq._position import PositionBase

__all__ = ["grid_points"]


def grid_points(
    seq: useq.MDASequence, parent: useq.MDASequence | None = None
) -> tuple[PositionBase, ...]:
    """Return the points of ``seq.grid_plan`` in the order of the event index ``g``.

    Parameters
    ----------
    seq
        The sequence.
    parent
        The sequence whose position carries `seq`, if any.
    """
    plan: Any = seq.grid_plan
    if plan is None:
        return ()
    remembered = _memory()
    if remembered is None:
        return tuple(plan)
    try:
        return remembered(_Inquiry.about(seq), "g")
    except _NotRememberedError:
        pass
    if not (isinstance(plan, useq.RandomPoints) and plan.random_seed is None):
        return tuple(plan)
    if parent is not None and not seq.autofocus_plan:
        # The copy that useq iterates in place of a position's sequence.
        seq = seq.model_copy(update={"autofocus_plan": parent.autofocus_plan})
    return remembered(seq, "g")


def _memory() -> Callable[[useq.MDASequence, str], tuple[Any, ...]] | None:
    """Return useq's memoised reading of an axis; None if this useq keeps no such thing."""
    try:
        from useq._iter_sequence import _iter_axis
    except ImportError:  # pragma: no cover - a useq to come
        return None
    return _iter_axis if hasattr(_iter_axis, "cache_info") else None


class _NotRememberedError(LookupError):
    """useq has not iterated this sequence yet."""


class _Inquiry(useq.MDASequence):
    """Equal to a sequence as a key of useq's memory, but nothing is stored by asking with it.

    A subclass, so that Python prefers this `__eq__` to the one of the stored sequence. It has no
    plans: pydantic never makes one.
    """

    __slots__ = ("_of",)
    _of: useq.MDASequence

    @classmethod
    def about(cls, seq: useq.MDASequence) -> _Inquiry:
        inquiry = object.__new__(cls)
        object.__setattr__(inquiry, "_of", seq)
        return inquiry

    def __hash__(self) -> int:
        return hash(self._of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, useq.MDASequence) and (
            other.uid == self._of.uid and other.grid_plan is self._of.grid_plan
        )

    def iter_axis(self, axis: str) -> Any:
        """Refuse: a miss must not be remembered."""
        raise _NotRememberedError(axis)
