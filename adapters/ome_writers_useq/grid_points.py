"""Points of a grid plan, identical to the points that the sequence's events will have.

useq caches the points of a sequence at its first iteration, with two consequences: random points without a seed are
drawn once, and a grid keeps the field of view that it had at that moment. Therefore points are read from useq's cache
if they are in it, and unseeded random points are put into it. Nothing else is cached here, because the field of view
may still be set after the conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import useq

Point: TypeAlias = useq.AbsolutePosition | useq.RelativePosition
"""A stage position or a grid point."""


def grid_points(seq: useq.MDASequence, parent: useq.MDASequence | None = None) -> tuple[Point, ...]:
    """Return the points of ``seq.grid_plan`` in the order of the event index ``g``.

    `parent` is the sequence that has `seq` as the sub-sequence of a position, if any.
    """
    plan: Any = seq.grid_plan
    if plan is None:
        return ()
    cached_iter = _cached_iter_axis()
    if cached_iter is None:
        return tuple(plan)
    try:
        return cached_iter(_CacheQuery.of(seq), "g")
    except _CacheMissError:
        pass
    if not (isinstance(plan, useq.RandomPoints) and plan.random_seed is None):
        return tuple(plan)
    if parent is not None and not seq.autofocus_plan:
        # useq iterates this copy of a sub-sequence, which makes it the cache key.
        seq = seq.model_copy(update={"autofocus_plan": parent.autofocus_plan})
    return cached_iter(seq, "g")


def _cached_iter_axis() -> Callable[[useq.MDASequence, str], tuple[Any, ...]] | None:
    """Return useq's cached iteration of an axis; None if this version does not cache."""
    try:
        from useq._iter_sequence import _iter_axis
    except ImportError:  # pragma: no cover - a later useq
        return None
    return _iter_axis if hasattr(_iter_axis, "cache_info") else None


class _CacheMissError(LookupError):
    """useq has not iterated this sequence yet."""


class _CacheQuery(useq.MDASequence):
    """Cache key equal to a sequence, for look-ups that do not add an entry on a miss.

    It is a subclass so that Python prefers its `__eq__` to that of the cached sequence, and it is created without
    pydantic because it does not have plans.
    """

    __slots__ = ("_of",)
    _of: useq.MDASequence

    @classmethod
    def of(cls, seq: useq.MDASequence) -> _CacheQuery:
        query = object.__new__(cls)
        object.__setattr__(query, "_of", seq)
        return query

    def __hash__(self) -> int:
        return hash(self._of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, useq.MDASequence) and (
            other.uid == self._of.uid and other.grid_plan is self._of.grid_plan
        )

    def iter_axis(self, axis: str) -> Any:
        """Raise an error, so that the miss is not cached."""
        raise _CacheMissError(axis)
