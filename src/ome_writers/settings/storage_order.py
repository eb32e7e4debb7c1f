"""Storage order of the axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ome_writers.settings.dimension import Dimension


def check_order(order: Sequence[str], names: Sequence[str]) -> None:
    """Raise ValueError unless `order` is a permutation of `names` that keeps the last two."""
    if list(order[-2:]) != list(names[-2:]):
        raise ValueError(
            "storage_order may not (yet) permute the last two dimensions. It must end with "
            f"{list(names[-2:])}, got {list(order)}."
        )
    if sorted(order) != sorted(names):
        raise ValueError(
            f"storage_order names {list(order)} don't match acquisition dimension names "
            f"{list(names)}"
        )


def stored(
    index_dimensions: Sequence[Dimension],
    order: str | Sequence[str],
    ranks: Mapping[str, int] | None,
) -> tuple[Dimension, ...]:
    """Return the axes of an image, without y and x, in storage order.

    ``"ome"`` sorts by the rank of each type in the format; without ranks, the acquisition order is kept.
    """
    if not isinstance(order, str):
        return tuple(sorted(index_dimensions, key=lambda d: order.index(d.name)))
    if order != "ome" or ranks is None:
        return tuple(index_dimensions)
    return tuple(sorted(index_dimensions, key=lambda d: ranks[d.type or "other"]))


def permutation(
    acquired: Sequence[Dimension], stored: Sequence[Dimension]
) -> tuple[int, ...] | None:
    """Return the index in `acquired` of each stored axis; None if the orders are equal."""
    names = [d.name for d in acquired]
    indices = tuple(names.index(d.name) for d in stored)
    return None if indices == tuple(range(len(indices))) else indices
